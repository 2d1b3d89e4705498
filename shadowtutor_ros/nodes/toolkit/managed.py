# SPDX-License-Identifier: Apache-2.0
"""Managed (lifecycle) nodes that can also start themselves."""

from __future__ import annotations

from collections.abc import Callable
import threading
import traceback

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from shadowtutor_ros.errors import ShadowTutorError

_STEADY = Clock(clock_type=ClockType.STEADY_TIME)
RCLError = rclpy_implementation.RCLError  # what transitions raise; rclpy has no public name

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = 'unconfigured', 'inactive', 'active', 'finalized'


class StartError(ShadowTutorError):
    """A node cannot configure or activate itself."""


class ManagedNode(LifecycleNode):
    """
    A lifecycle node whose steps may simply raise.

    Whatever a step raises, or ``fail`` is told, is logged, kept in ``problem`` and leads through
    ErrorProcessing back to unconfigured, from where the node can be configured again.
    ``on_failed`` is called when ``fail`` has led there, in a thread of its own.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.phase = UNCONFIGURED
        self.problem = ''
        self._steps = threading.RLock()  # one step at a time, and none after the end
        self._ended = False
        self._failed = threading.Lock()
        self._failure: Exception | None = None
        self._failing: threading.Thread | None = None
        self.on_failed: Callable[[], None] = lambda: None
        # rclpy has no public way to a lifecycle node's own services but to do without all five
        # and the transition events.
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_state_if_possible
        self._answer_during_steps()

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
        if self.phase == FINALIZED:
            raise StartError(self.problem)
        for trigger in (self.trigger_configure, self.trigger_activate):
            with self._steps:
                result = trigger()
            if result is not TransitionCallbackReturn.SUCCESS:
                raise StartError(self.problem)

    def fail(self, error: Exception) -> None:
        """
        Stop working and let go of everything because of ``error``; returns at once.

        Any thread may call it, also one that ``deactivate`` waits for. Of several errors the
        first counts.
        """
        trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
        self.get_logger().error(f'cannot go on: {_text(error)}\n{trace}'.rstrip())
        with self._failed:
            if self._failure is not None:
                return
            self._failure = error
        self._failing = threading.Thread(target=self._leave, name='failure')
        self._failing.start()

    def stop(self) -> None:
        """End for good, after a step that is under way; do nothing again."""
        with self._steps:
            self._ended = True
            self._let_go()
        if self._failing is not None and self._failing is not threading.current_thread():
            self._failing.join()

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
                self.problem = _text(error)
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

    def _leave(self) -> None:
        """Go from where the node is through ErrorProcessing: no other way leads there."""
        with self._steps:
            # Else somebody else has ended its work meanwhile, and may want it so.
            leaves = (self._failure is not None and not self._ended
                      and self.phase in (ACTIVE, INACTIVE))
            if leaves:
                (self.trigger_deactivate if self.phase == ACTIVE else self.trigger_cleanup)()
            self._failure = None
            leaves = leaves and not self._ended
        if leaves:
            self.on_failed()

    def _answer_during_steps(self) -> None:
        """Let what asks for the state, or sets parameters, not wait for a step that takes long."""
        group = ReentrantCallbackGroup()
        for service in (self._service_change_state, self._service_get_state,
                        self._service_get_available_states,
                        self._service_get_available_transitions,
                        self._service_get_transition_graph):
            service.callback_group = group
            group.add_entity(service)

    def _change_state_if_possible(
        self, request: ChangeState.Request, response: ChangeState.Response,
    ) -> ChangeState.Response:
        """
        Refuse at once what cannot be from the present state, or during a step.

        rclpy's executor would end of the one, and who asks would wait for the other.
        """
        response.success = False
        if self._steps.acquire(blocking=False):
            try:
                return self._change_state(request, response)
            except RCLError:
                pass
            finally:
                self._steps.release()
        wanted = request.transition.label or request.transition.id
        self.get_logger().warning(f'transition {wanted} cannot be while {self.phase}')
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
                self.problem = _text(error)
                self.get_logger().error(f'cannot {name}: {self.problem}')
                self.get_logger().debug(traceback.format_exc())
                return TransitionCallbackReturn.ERROR
            if self._failure is not None:  # before or meanwhile
                self.problem, self._failure = _text(self._failure), None
                return TransitionCallbackReturn.ERROR
            self.phase, self.problem = phase, ''
        self._tell()
        return TransitionCallbackReturn.SUCCESS

    def _tell(self) -> None:
        try:
            self.report()
        except Exception:  # a step that was done stays done
            self.get_logger().error(traceback.format_exc())


def _text(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'
