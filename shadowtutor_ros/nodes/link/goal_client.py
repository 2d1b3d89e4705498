# SPDX-License-Identifier: Apache-2.0
"""An action client that knows what it has asked before the answer can come, and counts answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import threading
from typing import Any

from rclpy.action import ActionClient

_REMEMBERED = 64  # requests whose second answer is known as one


class GoalClient(ActionClient):
    """
    An ActionClient that any thread may use while others spin its node.

    rclpy sends a request and then takes note of it. Where another thread takes the answer in
    between, it does not know whose that is, and the goal is never answered. Of several answers
    to one request, which come from servers of one name, the first counts; ``on_second`` is told
    of every other one.
    """

    def __init__(self, *arguments: Any, on_second: Callable[[], None], **options: Any) -> None:
        self._asking = threading.RLock()
        self._on_second = on_second
        self._heard: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
        super().__init__(*arguments, **options)

    def send_goal_async(self, *arguments: Any, **options: Any) -> Any:
        with self._asking:
            return super().send_goal_async(*arguments, **options)

    def take_data(self) -> Any:
        with self._asking:
            data = super().take_data()
            seconds = [kind for kind in ('goal', 'result', 'cancel')
                       if kind in data and (kind, data[kind][0]) in self._heard]
            self._heard.extend((kind, data[kind][0]) for kind in ('goal', 'result', 'cancel')
                               if kind in data and kind not in seconds)
        for kind in seconds:
            del data[kind]
            self._on_second()
        return data

    # What a goal's handle asks by.

    def _get_result_async(self, *arguments: Any) -> Any:
        with self._asking:
            return super()._get_result_async(*arguments)

    def _cancel_goal_async(self, *arguments: Any) -> Any:
        with self._asking:
            return super()._cancel_goal_async(*arguments)
