# SPDX-License-Identifier: Apache-2.0
"""Who has a place at a tutor, whose turn it is, and what those are told who wait."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
import threading
from typing import Any

import numpy as np
import pytest
from runtime.key_frames import DISTILL, key_frame
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.stream import stream_bytes
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.turns import BadStreamId, StreamTaken, Superseded, TooManyStreams
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


def test_streams_are_capped_and_idle_ones_make_room(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    strict = Tutor(teacher, Student.random(info, 0),
                   TutorSettings(DISTILL, max_streams=2, idle_timeout=1e6))
    lax = Tutor(teacher, Student.random(info, 0),
                TutorSettings(DISTILL, max_streams=2, idle_timeout=0.0))
    for tutor in (strict, lax):
        tutor.first_student('a')
        tutor.first_student('b')
    with pytest.raises(TooManyStreams, match='all 2 streams'):
        strict.first_student('c')
    lax.first_student('c')
    assert strict.streams == ('a', 'b')
    assert lax.streams == ('b', 'c')


@pytest.mark.parametrize('stream_id', ['', 'x' * 129])
def test_a_bad_stream_id_is_refused(tutor: Tutor, stream_id: str) -> None:
    with pytest.raises(BadStreamId, match='1 to 128'):
        tutor.first_student(stream_id)


class SlowTeacher:
    name, version = 'slow', '1'

    def __init__(self) -> None:
        self.busy, self.go = threading.Event(), threading.Event()

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        self.busy.set()
        self.go.wait(30)
        return Labelling(np.full(frame.shape[:2], 8, np.uint8),
                         np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@pytest.fixture
def teacher() -> Iterator[SlowTeacher]:
    """A teacher that works on what it is asked first until it may go on."""
    teacher = SlowTeacher()
    yield teacher
    teacher.go.set()


def busy_tutor(teacher: SlowTeacher, info: StudentInfo, scene: Scene, **places: Any) -> Tutor:
    """Return a tutor that teaches the stream 'a'."""
    tutor = Tutor(teacher, Student.random(info, 0),
                  TutorSettings(DISTILL, lessons_at_once=1, **places))
    tutor.submit(key_frame(scene))
    assert teacher.busy.wait(30)
    return tutor


def test_a_newer_key_frame_replaces_a_queued_one_at_once(
    teacher: SlowTeacher, info: StudentInfo, scene: Scene,
) -> None:
    tutor = busy_tutor(teacher, info, scene)
    second, third = (tutor.submit(key_frame(scene, sequence=n)) for n in (2, 3))
    with pytest.raises(Superseded, match="key frame 2 of 'a': a newer one came"):
        second.result(0)
    assert tutor.report().queued == 1
    teacher.go.set()
    assert third.result(30).sequence == 3


def test_who_cannot_be_served_hears_so_while_others_are_taught(
    teacher: SlowTeacher, info: StudentInfo, scene: Scene,
) -> None:
    tutor = busy_tutor(teacher, info, scene, max_streams=1)
    with pytest.raises(TooManyStreams):
        tutor.submit(key_frame(scene, stream_id='b'))
    with pytest.raises(TooManyStreams):
        tutor.first_student('b')
    with pytest.raises(StreamTaken):
        tutor.submit(replace(key_frame(scene), robot=1))
    assert tutor.streams == ('a',)


def test_a_first_student_waits_for_nobody(
    teacher: SlowTeacher, info: StudentInfo, scene: Scene,
) -> None:
    tutor = busy_tutor(teacher, info, scene)
    own, others = tutor.first_student('a'), tutor.first_student('b')
    assert own.version == others.version == 0
    assert own.weights is others.weights  # encoded once
    assert own.session_id != others.session_id


def test_a_key_frame_that_waits_can_be_cancelled(
    teacher: SlowTeacher, info: StudentInfo, scene: Scene,
) -> None:
    tutor = busy_tutor(teacher, info, scene)
    given_up = tutor.submit(key_frame(scene, stream_id='b'))
    next_one = tutor.submit(key_frame(scene, stream_id='c'))
    assert given_up.cancel()
    teacher.go.set()
    assert next_one.result(30).stream_id == 'c'
    assert {s.stream_id: s.key_frames for s in tutor.report().streams} == {'a': 1, 'c': 1}


def test_streams_that_always_ask_are_served_equally_often(
    info: StudentInfo, scene: Scene,
) -> None:
    """Whoever is answered asks again at once, as eight robots of a busy tutor do."""
    order: list[str] = []

    class Noting:
        name, version = 'noting', '1'

        def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
            return Labelling(np.full(frame.shape[:2], 8, np.uint8),
                             np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    tutor = Tutor(Noting(), Student.random(info, 0), TutorSettings(
        DistillSettings.plain(max_updates=0, cold_start_updates=0), lessons_at_once=1))
    names = [f'robot {k}' for k in range(8)]
    done = threading.Event()

    def ask(name: str) -> None:
        def answered(future: Future[StudentUpdate]) -> None:
            order.append(name)
            if len(order) == 80:
                done.set()
            elif len(order) < 80:
                ask(name)
        tutor.submit(small(name)).add_done_callback(answered)

    def small(name: str) -> KeyFrame:
        return replace(key_frame(scene, stream_id=name),
                       encoded=encode_frame(scene.frames[0][:16, :16], 'png'))

    for name in names:
        ask(name)
    assert done.wait(60)
    for count in range(1, 81):
        served = [order[:count].count(name) for name in names]
        assert max(served) - min(served) <= 1


def test_a_stream_that_goes_to_another_robot_is_warned_of(
    tutor: Tutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    tutor.admit('a', 1)
    with pytest.raises(StreamTaken):
        tutor.admit('a', 2)
    assert not caplog.records
    monkeypatch.setattr('shadowtutor_ros.schedule.turns.OWNER_SILENCE', 0.0)
    tutor.admit('a', 2)
    assert "stream 'a' goes to another robot" in caplog.text


def test_there_are_as_many_places_as_fit_the_device(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    student = Student.random(info, 0)
    size = stream_bytes(TrainingState(student.network, student.device))
    assert size == 6 * sum(t.nbytes for t in student.weights(FULL).values()) + 2 * 8
    remembering = replace(DISTILL, replay=1)
    for settings, one in ((DISTILL, size), (remembering, size + (64 << 20))):
        for free, places in ((10 * one, 5), (0, 1), (1 << 40, 256)):
            monkeypatch.setattr('shadowtutor_ros.runtime.tutor.free_memory',
                                lambda device, free=free: free)
            tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(settings))
            assert (tutor.max_streams, tutor.bytes_per_stream) == (places, size)


def test_robots_that_want_more_than_there_is_are_told_how_often_they_may_ask(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(DISTILL, lessons_at_once=1))
    eager = [replace(key_frame(scene, stream_id=name), frame_period=0.01, stride=1)
             for name in 'abc']
    assert tutor.distill(eager[0]).stride_floor == 0  # nobody else is there
    for _ in range(500):  # until the load is weighed again
        floors = [tutor.distill(one).stride_floor for one in eager]
        if all(floors):
            break
    assert min(floors) > 1
    assert [stream.stride_floor for stream in tutor.report().streams] == floors
    assert 0.25 <= tutor.report().steps_share <= 1.0
