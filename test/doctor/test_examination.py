# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

from shadowtutor_ros.doctor import network
from shadowtutor_ros.doctor.examination import examine
from shadowtutor_ros.doctor.finding import (
    BOTH,
    LEVELS,
    OK,
    PROBLEM,
    ROBOT,
    SERVER,
    SKIPPED,
    WARNING,
)

pytestmark = pytest.mark.ros


def test_every_finding_can_be_printed_and_what_is_wrong_has_a_fix() -> None:
    for finding in examine(BOTH):
        assert finding.level in LEVELS
        assert finding.found
        assert '\n' not in finding.found + finding.what
        if finding.level in (WARNING, PROBLEM):
            assert finding.fix


def test_a_robot_needs_no_teacher_and_a_server_no_student() -> None:
    robot, server = ({finding.what for finding in examine(role)} for role in (ROBOT, SERVER))
    assert robot - server == {'student'}
    assert {what.split()[0] for what in server - robot} == {'teacher'}


def test_without_a_middleware_the_rest_is_still_checked() -> None:
    environment = {**os.environ, 'RMW_IMPLEMENTATION': 'rmw_none_cpp'}
    found = {finding.what: finding
             for finding in examine(ROBOT, seconds=1, environment=environment)}
    assert found['RMW'].level == PROBLEM
    assert found['interfaces'].level in LEVELS
    assert found['graph'].found == 'rclpy cannot be imported'


def test_without_the_packages_of_a_teacher_the_rest_is_still_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'shadowtutor_ros.teacher.factory', None)
    found = {finding.what: finding for finding in examine(SERVER)}
    assert found['teacher'].level == SKIPPED
    assert found['RMW'].level in LEVELS


def test_a_check_that_fails_unexpectedly_stops_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(role: str) -> None:
        raise PermissionError('not allowed')

    monkeypatch.setattr(network, 'interfaces', broken)
    found = {finding.what: finding for finding in examine(ROBOT)}
    assert found['interfaces'].level == PROBLEM
    assert 'PermissionError: not allowed' in found['interfaces'].found
    assert found['processor'].level in (OK, WARNING)
    assert 'receive buffer' in found
