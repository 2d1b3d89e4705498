# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that are heard in a thread of their own, at a tenth of an executor's cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
import threading
import traceback
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

try:
    from rclpy.exceptions import InvalidHandle
except ImportError:  # Humble
    from rclpy.handle import InvalidHandle


class Listener(CallbackGroup):
    """
    A callback group that calls its subscriptions' callbacks itself, one after the other.

    An executor asks all that its nodes have, in Python, before every message: here only what was
    created with this ``callback_group``, and its events, is waited for. ``forget`` a subscription
    before it is destroyed.
    """

    def __init__(self, node: Node, name: str) -> None:
        super().__init__()
        self._node = node
        self._context = node.context
        self._lock = threading.Lock()
        self._heard: list[Subscription] = []
        self._changed = self._closed = False
        self._wake = GuardCondition(None, None, context=self._context)
        self._context.on_shutdown(self._end)
        self._thread = threading.Thread(target=self._listen, name=name, daemon=True)
        self._thread.start()

    def forget(self, subscription: Subscription) -> None:
        """Hear a subscription no more; a callback that is under way goes on."""
        self._change(self._heard.remove, subscription)

    def close(self) -> None:
        """End the thread; do nothing again."""
        self._end()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # -- what an executor asks, and what a node says -------------------------------------------

    def add_entity(self, entity: Any) -> None:
        super().add_entity(entity)
        if isinstance(entity, Subscription):
            self._change(self._heard.append, entity)

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass

    def _change(self, change: Callable[[Subscription], None], subscription: Subscription) -> None:
        with self._lock:
            change(subscription)
            self._changed = True
        self._wake_up()

    def _end(self) -> None:
        self._closed = True
        self._wake_up()

    def _wake_up(self) -> None:
        with suppress(InvalidHandle):
            self._wake.trigger()

    # -- in the thread -------------------------------------------------------------------------

    def _listen(self) -> None:
        while not self._closed:
            with self._lock:
                self._changed = False
                heard = list(self._heard)
            with ExitStack() as held:
                self._hear([each for each in heard if _hold(each, held)])
        self._wake.destroy()

    def _hear(self, heard: list[Subscription]) -> None:
        """Hear some subscriptions, whose handles are held, until there are others."""
        events = [event for each in heard for event in each.event_handlers]
        with self._context.handle, self._wake.handle:
            waiting = rclpy_implementation.WaitSet(
                len(heard), 1, 0, 0, 0, len(events), self._context.handle)
            while not (self._changed or self._closed):
                waiting.clear_entities()
                for each in heard:
                    waiting.add_subscription(each.handle)
                for event in events:
                    event.add_to_wait_set(waiting)
                waiting.add_guard_condition(self._wake.handle)
                waiting.wait(-1)
                ready = waiting.get_ready_entities('subscription')
                for each in heard:
                    if each.handle.pointer in ready:
                        self._take(each)
                for event in events:
                    if event.is_ready(waiting):
                        self._call(event.callback, event.take_data())

    def _take(self, subscription: Subscription) -> None:
        take, kind, raw = subscription.handle.take_message, subscription.msg_type, subscription.raw
        while (taken := take(kind, raw)) is not None:
            self._call(subscription.callback, taken[0])

    def _call(self, callback: Callable[[Any], None], argument: Any) -> None:
        try:
            callback(argument)
        except Exception:  # without this thread nothing would ever be heard again
            self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)


def _hold(subscription: Subscription, held: ExitStack) -> bool:
    """Keep a subscription and its events from being destroyed; say whether they still are."""
    with ExitStack() as holding, suppress(InvalidHandle):
        for each in (subscription.handle, *subscription.event_handlers):
            holding.enter_context(each)
        held.push(holding.pop_all())
        return True
    return False
