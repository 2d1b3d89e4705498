# SPDX-License-Identifier: Apache-2.0
"""What a managed node does when its own steps fail."""

from collections.abc import Callable, Iterator
import queue
import threading
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest
from rcl_interfaces.srv import ListParameters
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.task import Future

from shadowtutor_ros.nodes.toolkit.managed import (
    ACTIVE,
    FINALIZED,
    INACTIVE,
    ManagedNode,
    StartError,
    UNCONFIGURED,
)
from shadowtutor_ros.nodes.toolkit.spin import _spin_until

TIMEOUT = 60.0

pytestmark = pytest.mark.ros


class Fragile(ManagedNode):
    """Does what it is told, but for the steps that are to fail."""

    def __init__(self) -> None:
        super().__init__('fragile')
        self.broken: set[str] = set()
        self.work: Callable[[], object] = lambda: None
        self.deactivating = threading.Event()
        self._worker: threading.Thread | None = None
        self.done: list[str] = []
        self.told: list[tuple[str, str]] = []

    def _do(self, step: str) -> None:
        if step in self.broken:
            raise RuntimeError(f'no {step}')
        self.done.append(step)

    def configure(self) -> None:
        self._do('configure')

    def activate(self) -> None:
        self._do('activate')
        self._worker = threading.Thread(target=self._work)
        self._worker.start()

    def deactivate(self) -> None:
        self.deactivating.set()
        if self._worker is not None:
            self._worker.join()
        self._do('deactivate')

    def _work(self) -> None:
        try:
            self.work()
        except RuntimeError as error:
            self.fail(error)

    def clean_up(self) -> None:
        self._do('clean up')

    def report(self) -> None:
        self.told.append((self.phase, self.problem))
        self._do('report')


@pytest.fixture
def node(domain_id: int) -> Iterator[Fragile]:
    rclpy.init(domain_id=domain_id)
    node = Fragile()
    yield node
    node.broken.clear()
    node.destroy_node()
    rclpy.shutdown()


def state(node: Fragile) -> str:
    return str(node._state_machine.current_state[1])


@pytest.mark.parametrize('step', ['configure', 'activate'])
def test_a_start_that_fails_lets_go_of_everything_and_says_why(node: Fragile, step: str) -> None:
    node.broken.add(step)
    with pytest.raises(StartError, match=f'RuntimeError: no {step}'):
        node.start()
    assert node.done[-3:] == ['deactivate', 'clean up', 'report']
    assert node.told[-1] == (UNCONFIGURED, f'RuntimeError: no {step}')
    assert state(node) == UNCONFIGURED
    node.broken.clear()
    node.start()
    assert (state(node), node.told[-1]) == (ACTIVE, (ACTIVE, ''))


def test_who_cannot_let_go_is_finalized(node: Fragile) -> None:
    node.start()
    node.broken = {'deactivate', 'clean up'}
    node.trigger_deactivate()
    assert (state(node), node.phase) == (FINALIZED, FINALIZED)
    assert node.problem == 'RuntimeError: no clean up'


def test_a_report_that_fails_undoes_no_step(node: Fragile) -> None:
    node.broken.add('report')
    node.start()
    assert (state(node), node.phase, node.problem) == (ACTIVE, ACTIVE, '')
    node.trigger_deactivate()
    assert state(node) == INACTIVE


def test_nothing_begins_after_the_end(node: Fragile) -> None:
    node.start()
    node.stop()
    done = list(node.done)
    node.trigger_deactivate()
    assert node.done == done


def raises(text: str) -> None:
    raise RuntimeError(text)


def test_a_worker_that_fails_ends_in_error_processing(node: Fragile) -> None:
    failed = threading.Event()
    node.on_failed = failed.set
    started = threading.Event()
    node.work = lambda: started.wait(60) and raises('no more memory')
    node.start()
    started.set()
    assert failed.wait(60)
    assert (state(node), node.phase) == (UNCONFIGURED, UNCONFIGURED)
    assert node.problem == 'RuntimeError: no more memory'
    assert node.done[-3:] == ['deactivate', 'clean up', 'report']
    assert node.told[-1] == (UNCONFIGURED, node.problem)

    node.work = lambda: None
    node.start()
    assert (state(node), node.told[-1]) == (ACTIVE, (ACTIVE, ''))


def test_a_worker_may_fail_while_the_node_is_deactivated(node: Fragile) -> None:
    """
    Deactivation waits for the worker, and the worker for nobody. Somebody wanted the node to
    rest: it does not start again.
    """
    failed = threading.Event()
    node.on_failed = failed.set
    node.work = lambda: node.deactivating.wait(60) and raises('late')
    node.start()
    assert node.trigger_deactivate() is TransitionCallbackReturn.ERROR
    assert (state(node), node.problem) == (UNCONFIGURED, 'RuntimeError: late')
    assert node._failing is not None
    node._failing.join(60)
    assert not failed.is_set()


def test_an_inactive_node_may_fail_too_and_the_first_error_counts(node: Fragile) -> None:
    failed: queue.Queue[str] = queue.Queue()
    node.on_failed = lambda: failed.put(node.problem)
    node.start()
    node.trigger_deactivate()
    with node._steps:  # nothing can happen before the second
        for text in ('first', 'second'):
            node.fail(RuntimeError(text))
    assert failed.get(timeout=60) == 'RuntimeError: first'
    assert state(node) == UNCONFIGURED
    node.stop()
    assert failed.empty()


def test_who_has_failed_and_cannot_let_go_does_not_start_again(node: Fragile) -> None:
    failed = threading.Event()
    node.on_failed = failed.set
    node.start()
    node.broken = {'deactivate', 'clean up'}
    node.fail(RuntimeError('broken'))
    assert failed.wait(60)
    assert state(node) == FINALIZED
    with pytest.raises(StartError, match='no clean up'):
        node.start()


def test_nobody_is_told_of_a_failure_after_the_end(node: Fragile) -> None:
    told = threading.Event()
    node.on_failed = told.set
    node.start()
    node.stop()
    node.fail(RuntimeError('too late'))
    node.stop()
    assert not told.is_set()


@pytest.mark.parametrize('step', ['configure', 'activate'])
@pytest.mark.parametrize('asked', [True, False], ids=['by a manager', 'by itself'])
def test_a_step_that_takes_long_keeps_nobody_waiting(
    node: Fragile, step: str, asked: bool,
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def take_long() -> None:
        began.set()
        assert go_on.wait(TIMEOUT)

    setattr(node, step, take_long)
    stopped, ready = threading.Event(), threading.Event()

    def start() -> None:
        if not asked:
            node.start()
        ready.set()

    spinning = threading.Thread(
        target=_spin_until, args=(stopped, node, MultiThreadedExecutor(4), start))
    other = rclpy.create_node('manager')
    executor = SingleThreadedExecutor()
    executor.add_node(other)

    def ask(type_: type, name: str, **request: object) -> Future:
        client = other.create_client(type_, f'/fragile/{name}')
        assert client.wait_for_service(TIMEOUT)
        return client.call_async(type_.Request(**request))

    def answer(future: Future) -> Any:
        executor.spin_until_future_complete(future, TIMEOUT)
        assert future.done()
        return future.result()

    def transition(name: str) -> Transition:
        return Transition(id=getattr(Transition, f'TRANSITION_{name}'))

    try:
        spinning.start()
        wanted = None
        if asked:
            if step == 'activate':
                assert answer(ask(ChangeState, 'change_state',
                                  transition=transition('CONFIGURE'))).success
            wanted = ask(ChangeState, 'change_state', transition=transition(step.upper()))
        assert began.wait(TIMEOUT)
        assert answer(ask(GetState, 'get_state')).current_state.label == {
            'configure': 'configuring', 'activate': 'activating'}[step]
        assert answer(ask(ListParameters, 'list_parameters')).result.names
        assert not answer(ask(ChangeState, 'change_state', transition=transition(
            'UNCONFIGURED_SHUTDOWN'))).success
        go_on.set()
        if wanted is not None:
            assert answer(wanted).success
        else:
            assert ready.wait(TIMEOUT)
        assert answer(ask(GetState, 'get_state')).current_state.label == (
            INACTIVE if asked and step == 'configure' else ACTIVE)
    finally:
        go_on.set()
        stopped.set()
        spinning.join()
        executor.shutdown()
        other.destroy_node()
