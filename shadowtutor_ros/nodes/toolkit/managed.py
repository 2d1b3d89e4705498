# SPDX-License-Identifier: Apache-2.0
"""Managed (lifecycle) nodes that can also start themselves."""

from __future__ import annotations

from collections.abc import Callable
import threading
import traceback

from lifecycle_msgs.srv import ChangeState
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from shadowtutor_ros.errors import ShadowTutorError

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)
RCLError = rclpy_implementation.RCLError

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = 'unconfigured', 'inactive', 'active', 'finalized'


class StartError(ShadowTutorError):
    """A node cannot configure or activate itself."""


class ManagedNode(LifecycleNode):
    """
    A lifecycle node whose steps may simply raise.

    Whatever a step raises is logged, kept in ``problem`` and leads through ErrorProcessing back
    to unconfigured, from where the node can be configured again.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.phase = UNCONFIGURED
        self.problem = ''
        self._steps = threading.RLock()  # one step at a time, and none after the end
        self._ended = False
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_if_possible

    @property
    def autostart(self) -> bool:
        """Say whether the node configures and activates itself: the parameter of that name."""
        return bool(self.get_parameter('autostart').value)

    def configure(self) -> None:
        """Load and check everything."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working and keep what was loaded; do nothing when not active."""

    def clean_up(self) -> None:
        """Let go of what ``configure`` loaded, as far as it came."""

    def report(self) -> None:
        """Publish how things stand; called after every step."""

    def every(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Create a timer that goes on when simulated time stands still."""
        return self.create_timer(seconds, callback, clock=_STEADY)

    def start(self) -> None:
        """Configure and activate; raise StartError that says why it cannot."""
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() is not TransitionCallbackReturn.SUCCESS:
                raise StartError(self.problem)

    def stop(self) -> None:
        """End for good, after a step that is under way; do nothing again."""
        with self._steps:
            self._ended = True
            self._let_go()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step('configure', self.configure, INACTIVE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step('activate', self.activate, ACTIVE)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step('deactivate', self.deactivate, INACTIVE)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step('clean up', self.clean_up, UNCONFIGURED)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step('shut down', self._let_go, FINALIZED)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        with self._steps:
            try:
                self._let_go()
                self.phase, result = UNCONFIGURED, TransitionCallbackReturn.SUCCESS
            except Exception as error:
                self.problem = f'{type(error).__name__}: {error}'
                self.get_logger().fatal(f'cannot let go: {self.problem}')
                self.phase, result = FINALIZED, TransitionCallbackReturn.FAILURE
        self._tell()
        return result

    def destroy_node(self) -> None:
        self.stop()
        super().destroy_node()

    def _let_go(self) -> None:
        try:
            self.deactivate()
        finally:
            self.clean_up()

    def _change_state_if_possible(
        self, request: ChangeState.Request, response: ChangeState.Response,
    ) -> ChangeState.Response:
        """Refuse what cannot be from the present state: rclpy's executor would end of it."""
        try:
            return self._change_state(request, response)
        except RCLError:
            wanted = request.transition.label or request.transition.id
            self.get_logger().warning(f'transition {wanted} cannot be while {self.phase}')
            response.success = False
            return response

    def _step(
        self, name: str, step: Callable[[], None], phase: str,
    ) -> TransitionCallbackReturn:
        with self._steps:
            if self._ended:
                return TransitionCallbackReturn.FAILURE
            self.phase = f'about to {name}'
            try:
                step()
            except Exception as error:  # rclpy would drop it without a word
                self.problem = f'{type(error).__name__}: {error}'
                self.get_logger().error(f'cannot {name}: {self.problem}')
                self.get_logger().debug(traceback.format_exc())
                return TransitionCallbackReturn.ERROR
            self.phase, self.problem = phase, ''
        self._tell()
        return TransitionCallbackReturn.SUCCESS

    def _tell(self) -> None:
        try:
            self.report()
        except Exception:  # a step that was done stays done
            self.get_logger().error(traceback.format_exc())
