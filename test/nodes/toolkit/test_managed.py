# SPDX-License-Identifier: Apache-2.0
"""What a managed node does when its own steps fail."""

from collections.abc import Iterator

import pytest
import rclpy

from shadowtutor_ros.nodes.toolkit.managed import (
    ACTIVE,
    FINALIZED,
    INACTIVE,
    ManagedNode,
    StartError,
    UNCONFIGURED,
)

pytestmark = pytest.mark.ros


class Fragile(ManagedNode):
    """Does what it is told, but for the steps that are to fail."""

    def __init__(self) -> None:
        super().__init__('fragile')
        self.fail: set[str] = set()
        self.done: list[str] = []
        self.told: list[tuple[str, str]] = []

    def _do(self, step: str) -> None:
        if step in self.fail:
            raise RuntimeError(f'no {step}')
        self.done.append(step)

    def configure(self) -> None:
        self._do('configure')

    def activate(self) -> None:
        self._do('activate')

    def deactivate(self) -> None:
        self._do('deactivate')

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
    node.fail.clear()
    node.destroy_node()
    rclpy.shutdown()


def state(node: Fragile) -> str:
    return str(node._state_machine.current_state[1])


@pytest.mark.parametrize('step', ['configure', 'activate'])
def test_a_start_that_fails_lets_go_of_everything_and_says_why(node: Fragile, step: str) -> None:
    node.fail.add(step)
    with pytest.raises(StartError, match=f'RuntimeError: no {step}'):
        node.start()
    assert node.done[-3:] == ['deactivate', 'clean up', 'report']
    assert node.told[-1] == (UNCONFIGURED, f'RuntimeError: no {step}')
    assert state(node) == UNCONFIGURED
    node.fail.clear()
    node.start()
    assert (state(node), node.told[-1]) == (ACTIVE, (ACTIVE, ''))


def test_who_cannot_let_go_is_finalized(node: Fragile) -> None:
    node.start()
    node.fail = {'deactivate', 'clean up'}
    node.trigger_deactivate()
    assert (state(node), node.phase) == (FINALIZED, FINALIZED)
    assert node.problem == 'RuntimeError: no clean up'


def test_a_report_that_fails_undoes_no_step(node: Fragile) -> None:
    node.fail.add('report')
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
