# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path
import re

import numpy as np
import pytest
from runtime.loops import assert_same_weights, weights_of

from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.robot_state import RobotState
from shadowtutor_ros.runtime.state_file import pack, unpack
from shadowtutor_ros.runtime.state_folder import UnusableStateFolder


def test_a_robot_finds_what_it_ran(tmp_path: Path, info: StudentInfo) -> None:
    info = replace(info, mean=(1.0, 2.0, 3.0))
    student = Student.random(info, 3)
    state = RobotState(tmp_path, 'a')
    assert state.load() is None
    state.keep(student, 2**64 - 1, 5)
    expected = weights_of(student)
    student.load({'out_conv3.bias': expected['out_conv3.bias'] + 1})  # the next update
    state.close()
    kept = RobotState(tmp_path, 'a').load()
    assert kept is not None
    assert (kept.session_id, kept.version) == (2**64 - 1, 5)
    assert kept.student.layout_hash == student.layout_hash
    assert kept.student.info == info
    assert_same_weights(weights_of(kept.student), expected)


def test_weights_are_written_now_and_then_and_at_the_end(
    tmp_path: Path, info: StudentInfo,
) -> None:
    student = Student.random(info, 3)
    state = RobotState(tmp_path, 'a', period=1e6)
    for version in range(1, 5):
        state.keep(student, 7, version)
    state.close()
    state = RobotState(tmp_path, 'a', period=1e6)
    kept = state.load()
    assert kept is not None
    assert kept.version == 1
    state.keep(student, 7, 4)
    state.keep(student, 7, 5)
    state.keep(student, 7, 6, at_once=True)
    state.close()
    kept = RobotState(tmp_path, 'a').load()
    assert kept is not None
    assert kept.version == 6


def test_what_did_not_change_is_not_written_again(tmp_path: Path, info: StudentInfo) -> None:
    state = RobotState(tmp_path, 'a', period=0.0)
    student = Student.random(info, 3)
    state.keep(student, 7, 1)
    state.close()
    path, = tmp_path.rglob('*.state')
    path.unlink()
    again = RobotState(tmp_path, 'a', period=0.0)
    again._kept = 7, 1
    again.keep(student, 7, 1, at_once=True)
    again.keep(student, 0, 0, at_once=True)  # from a checkpoint
    again.close()
    assert not list(tmp_path.rglob('*.state'))


def test_streams_share_a_folder_and_processes_of_one_stream_do_not(
    tmp_path: Path, info: StudentInfo,
) -> None:
    states = [RobotState(tmp_path, stream_id) for stream_id in ('a', 'b/..')]
    for number, state in enumerate(states):
        state.keep(Student.random(info, number), 7, 1 + number)
    with pytest.raises(UnusableStateFolder, match='another process keeps its own state there'):
        RobotState(tmp_path, 'a')
    for number, (state, stream_id) in enumerate(zip(states, ('a', 'b/..'))):
        state.close()
        kept = RobotState(tmp_path, stream_id).load()
        assert kept is not None
        assert kept.version == 1 + number


@pytest.mark.parametrize(('field', 'value', 'message'), [
    ('info', np.frombuffer(b'{}', np.uint8), 'info: expected what describes a student'),
    ('info', np.frombuffer(b'[', np.uint8), 'info: expected what describes a student'),
    ('weights/out_conv3.bias', np.zeros(3, np.float32), r'expected shape \(9,\), got \(3,\)'),
    ('version', np.zeros(2, np.int64), 'version: expected one number, got 2')])
def test_what_is_no_student_is_warned_of(
    tmp_path: Path, info: StudentInfo, caplog: pytest.LogCaptureFixture, field: str,
    value: np.ndarray, message: str,
) -> None:
    state = RobotState(tmp_path, 'a')
    state.keep(Student.random(info, 3), 7, 1)
    state.close()
    path, = tmp_path.rglob('*.state')
    path.write_bytes(pack('a', {**unpack(path.read_bytes())[1], field: value}))
    assert RobotState(tmp_path, 'a').load() is None
    record, = caplog.records
    assert record.getMessage().startswith(f'{path} is damaged')
    assert re.search(message, record.getMessage())


def test_an_architecture_that_is_not_known_is_warned_of(
    tmp_path: Path, info: StudentInfo, caplog: pytest.LogCaptureFixture,
) -> None:
    state = RobotState(tmp_path, 'a')
    state.keep(Student.random(info, 3), 7, 1)
    state.close()
    path, = tmp_path.rglob('*.state')
    snapshot = unpack(path.read_bytes())[1]
    text = bytes(snapshot['info']).replace(b'"shadowtutor"', b'"another"')
    path.write_bytes(pack('a', {**snapshot, 'info': np.frombuffer(text, np.uint8)}))
    assert RobotState(tmp_path, 'a').load() is None
    assert "got 'another'" in caplog.text
