# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import pytest

from shadowtutor_ros.harness import domain as module
from shadowtutor_ros.harness.domain import DOMAINS, NoFreeDomain, own_domain

HOLD = """
import sys, time
from shadowtutor_ros.harness import domain
domain._CLAIM, domain.DOMAINS = sys.argv[1], [int(sys.argv[2])]
with domain.own_domain():
    print('holds', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def claim() -> str:
    """What claims are called that are nobody else's business."""
    return f'test/{os.getpid()}'


@pytest.fixture
def only(domain_id: int, claim: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The only domain there is."""
    monkeypatch.setattr(module, 'DOMAINS', [domain_id])
    monkeypatch.setattr(module, '_CLAIM', claim)
    return domain_id


def test_whoever_asks_gets_another_domain() -> None:
    with own_domain() as one, own_domain() as other:
        assert one != other
        assert {one, other} <= set(DOMAINS)


def test_a_domain_of_another_process_is_taken_until_that_is_killed(only: int, claim: str) -> None:
    with subprocess.Popen([sys.executable, '-c', HOLD, claim, str(only)], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == 'holds\n'
            with pytest.raises(NoFreeDomain, match=f'from {only} to {only}'), own_domain():
                pass
        finally:
            process.kill()
    with own_domain() as free:
        assert free == only


def test_an_error_lets_go_of_it(only: int) -> None:
    with pytest.raises(ValueError, match='away'), own_domain():
        raise ValueError('away')
    with own_domain() as again:
        assert again == only


@pytest.mark.ros
@pytest.mark.parametrize('reach', ['LOCALHOST', 'SUBNET'])
def test_where_somebody_is_who_did_not_ask_is_taken_too(
    only: int, monkeypatch: pytest.MonkeyPatch, reach: str,
) -> None:
    import rclpy
    from rclpy.context import Context

    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', reach)
    context = Context()
    rclpy.init(context=context, domain_id=only)
    node = rclpy.create_node('somebody', context=context)
    with pytest.raises(NoFreeDomain), own_domain():
        pass
    node.destroy_node()
    rclpy.shutdown(context=context)
    with own_domain() as free:
        assert free == only
