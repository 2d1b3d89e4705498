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
domain.DOMAINS = [int(sys.argv[1])]
with domain.own_domain():
    print('holds', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> int:
    """The only domain there is, which nobody but this test wants."""
    domain = 1000 + os.getpid()
    monkeypatch.setattr(module, 'DOMAINS', [domain])
    return domain


def test_whoever_asks_gets_another_domain() -> None:
    with own_domain() as one, own_domain() as other:
        assert one != other
        assert {one, other} <= set(DOMAINS)


def test_a_domain_of_another_process_is_taken_until_that_is_killed(only: int) -> None:
    with subprocess.Popen([sys.executable, '-c', HOLD, str(only)], stdout=subprocess.PIPE,
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
