# SPDX-License-Identifier: Apache-2.0
"""An action client that knows what it has asked before the answer can come."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient


class GoalClient(ActionClient):
    """
    An ActionClient that any thread may use while others spin its node.

    rclpy sends a request and then takes note of it. Where another thread takes the answer in
    between, it does not know whose that is, and the goal is never answered.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._asking = threading.RLock()
        super().__init__(*arguments, **options)

    def send_goal_async(self, *arguments: Any, **options: Any) -> Any:
        with self._asking:
            return super().send_goal_async(*arguments, **options)

    def take_data(self) -> Any:
        with self._asking:
            return super().take_data()

    # What a goal's handle asks by.

    def _get_result_async(self, *arguments: Any) -> Any:
        with self._asking:
            return super()._get_result_async(*arguments)

    def _cancel_goal_async(self, *arguments: Any) -> Any:
        with self._asking:
            return super()._cancel_goal_async(*arguments)
