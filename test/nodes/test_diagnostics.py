# SPDX-License-Identifier: Apache-2.0
"""What a robot's monitor sees of a student."""

from __future__ import annotations

import math

import pytest
from shadowtutor_msgs.msg import StreamStatus, StudentStatus, TutorStatus

from shadowtutor_ros.nodes.diagnostics import (
    DiagnosticLimits,
    ERROR,
    OK,
    STALE,
    StudentDiagnostics,
    TutorDiagnostics,
    WARN,
)

pytestmark = pytest.mark.ros


def _status(**fields: object) -> StudentStatus:
    values = {'stream_id': 'robot', 'state': StudentStatus.RUNNING, 'frames_processed': 100,
              'staleness_frames': 10, 'version': 3, 'bytes_up': 1000, 'metric': 0.5, **fields}
    return StudentStatus(**values)


def _second(before: StudentStatus, after: StudentStatus) -> tuple[bytes, str, dict[str, str]]:
    """Return level, message and values of the second of two reports two seconds apart."""
    diagnostics = StudentDiagnostics('/robot/student', DiagnosticLimits(0.5, 128, 3))
    diagnostics.of(before, 10.0)
    status, = diagnostics.of(after, 12.0).status
    assert status.name == '/robot/student: student'
    assert status.hardware_id == 'robot'
    return status.level, status.message, {v.key: v.value for v in status.values}


def test_rates_are_those_since_the_last_report() -> None:
    level, message, values = _second(_status(), _status(
        frames_processed=150, frames_dropped=4, bytes_up=26_000, bytes_down=50_000,
        tutor_stride_floor=40, share='off'))
    assert values['shared with helpers'] == 'off'
    assert (level, message) == (OK, 'segments')
    assert values['frames per second'] == '25.0'
    assert values['dropped per second'] == '2.0'
    assert values['kbit/s up'] == '100.0'
    assert values['kbit/s down'] == '200.0'
    assert values['weight version'] == '3'
    assert values["tutor's least stride, frames"] == '40'


@pytest.mark.parametrize(('after', 'level', 'message'), [
    ({'state': StudentStatus.WAITING, 'detail': 'asks /tutor'}, WARN, 'asks /tutor'),
    ({'frames_processed': 100}, STALE, 'no image was segmented'),
    ({'frames_rejected': 1, 'detail': 'BadImage'}, WARN, 'images cannot be read: BadImage'),
    ({'frames_rejected': 1, 'frames_processed': 100, 'detail': 'BadImage'}, WARN, 'BadImage'),
    ({'link': StudentStatus.LINK_FAILED, 'detail': 'silence'}, WARN,
     'the last key frame failed: silence'),
    ({'staleness_frames': 129}, WARN, 'weights that are 129 frames old'),
    ({'staleness_frames': 128}, OK, 'segments'),
    ({'metric': 0.49}, WARN, 'mIoU 0.49 on the last key frame'),
    ({'metric': math.nan}, OK, 'segments'),
    ({'state': StudentStatus.INACTIVE, 'detail': 'inactive'}, WARN, 'inactive'),
    ({'failures': 3, 'detail': 'silence'}, ERROR, '3 key frames failed in a row: silence'),
    ({'failures': 2}, OK, 'segments')])
def test_levels(after: dict[str, object], level: bytes, message: str) -> None:
    found, said, _ = _second(_status(), _status(**{'frames_processed': 101, **after}))
    assert found == level
    assert message in said


def test_the_first_report_has_no_rates_yet() -> None:
    diagnostics = StudentDiagnostics('/student', DiagnosticLimits())
    status, = diagnostics.of(_status(), 1.0).status
    assert status.level == OK
    assert {v.key: v.value for v in status.values}['frames per second'] == 'nan'


def test_an_update_ends_a_row_of_failures() -> None:
    diagnostics = StudentDiagnostics('/student', DiagnosticLimits(failures=2))
    levels = []
    for second, (updates, failures) in enumerate([(1, 0), (1, 1), (1, 2), (2, 2), (2, 3)]):
        status, = diagnostics.of(_status(
            frames_processed=second, updates_applied=updates, failures=failures), second).status
        levels.append(status.level)
    assert levels == [OK, OK, ERROR, OK, OK]


def test_a_node_that_cannot_work_is_an_error() -> None:
    student = StudentDiagnostics('/student', DiagnosticLimits())
    tutor = TutorDiagnostics('/tutor', 5)
    for array in (student.of(_status(), 1.0, 'no checkpoint'), tutor.of(TutorStatus(), 'no GPU')):
        status, = array.status
        assert status.level == ERROR
        assert status.message in ('no checkpoint', 'no GPU')


@pytest.mark.parametrize(('fields', 'level', 'message'), [
    ({}, OK, 'teaches 1 streams'),
    ({'steps_share': 0.25}, OK, 'teaches 1 streams, 25 % of the steps'),
    ({'steps_share': 0.25, 'streams': [StreamStatus(), StreamStatus(stride_floor=9)]}, OK,
     'teaches 2 streams, 25 % of the steps, 1 less often than they want'),
    ({'detail': 'bad frame', 'failures': 1}, WARN, 'bad frame'),
    ({'detail': 'bad frame', 'failures': 2}, ERROR, '2 key frames failed in a row: bad frame'),
    ({'active': False, 'detail': 'inactive', 'failures': 2}, WARN, 'inactive'),
    ({'failures': 2, 'key_frames': 1}, OK, 'teaches')])
def test_levels_of_a_tutor(fields: dict[str, object], level: bytes, message: str) -> None:
    tutor = TutorStatus(active=True, teacher='yolo', device='cuda', queued=3, load=0.5,
                        steps_share=1.0, max_streams=8, gpu_memory=3 << 20,
                        streams=[StreamStatus()])
    for name, value in fields.items():
        setattr(tutor, name, value)
    status, = TutorDiagnostics('/tutor', 2).of(tutor).status
    assert (status.name, status.hardware_id) == ('/tutor: tutor', 'cuda')
    assert status.level == level
    assert message in status.message
    assert ('of the steps' in status.message) == (tutor.steps_share < 1)
    values = {v.key: v.value for v in status.values}
    assert (values['key frames waiting'], values['load']) == ('3', '0.50')
    assert values['share of the steps'] == f'{tutor.steps_share:.2f}'
    assert (values['streams'], values['GPU memory, MiB']) == (f'{len(tutor.streams)} of 8', '3')
