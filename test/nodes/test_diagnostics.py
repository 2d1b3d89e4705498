# SPDX-License-Identifier: Apache-2.0
"""What a robot's monitor sees of a student."""

from __future__ import annotations

import pytest
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.nodes.diagnostics import OK, STALE, StudentDiagnostics, WARN

pytestmark = pytest.mark.ros


def _status(**fields: object) -> StudentStatus:
    values = {'stream_id': 'robot', 'state': StudentStatus.RUNNING, 'frames_processed': 100,
              'staleness_frames': 10, 'version': 3, 'bytes_up': 1000, **fields}
    return StudentStatus(**values)


def _second(before: StudentStatus, after: StudentStatus) -> tuple[bytes, str, dict[str, str]]:
    """Return level, message and values of the second of two reports two seconds apart."""
    diagnostics = StudentDiagnostics('/robot/student', lambda: 64)
    diagnostics.of(before, 10.0)
    status, = diagnostics.of(after, 12.0).status
    assert status.name == '/robot/student: student'
    assert status.hardware_id == 'robot'
    return status.level, status.message, {v.key: v.value for v in status.values}


def test_rates_are_those_since_the_last_report() -> None:
    level, message, values = _second(_status(), _status(
        frames_processed=150, frames_dropped=4, bytes_up=26_000, bytes_down=50_000))
    assert (level, message) == (OK, 'segments')
    assert values['frames per second'] == '25.0'
    assert values['dropped per second'] == '2.0'
    assert values['kbit/s up'] == '100.0'
    assert values['kbit/s down'] == '200.0'
    assert values['weight version'] == '3'


@pytest.mark.parametrize(('after', 'level', 'message'), [
    ({'state': StudentStatus.WAITING, 'detail': 'asks /tutor'}, WARN, 'asks /tutor'),
    ({'frames_processed': 100}, STALE, 'no image was segmented'),
    ({'frames_rejected': 1, 'detail': 'BadImage'}, WARN, 'images cannot be read: BadImage'),
    ({'link': StudentStatus.LINK_FAILED, 'detail': 'silence'}, WARN,
     'the last key frame failed: silence'),
    ({'staleness_frames': 129}, WARN, 'weights that are 129 frames old'),
    ({'staleness_frames': 128}, OK, 'segments')])
def test_levels(after: dict[str, object], level: bytes, message: str) -> None:
    found, said, _ = _second(_status(), _status(**{'frames_processed': 101, **after}))
    assert found == level
    assert message in said


def test_the_first_report_has_no_rates_yet() -> None:
    status, = StudentDiagnostics('/student', lambda: 64).of(_status(), 1.0).status
    assert status.level == OK
    assert {v.key: v.value for v in status.values}['frames per second'] == 'nan'
