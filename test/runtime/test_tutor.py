# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
import threading
from typing import Any

import numpy as np
import pytest
from scene import Scene
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import (
    BadLabel,
    BadStreamId,
    Phase,
    Progress,
    Superseded,
    TooManyStreams,
    Tutor,
    TutorSettings,
)
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.delta import decode_delta, DELTA
from shadowtutor_ros.wire.encoder import Encoder
from shadowtutor_ros.wire.errors import BadKeyFrame
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame
from shadowtutor_ros.wire.update import KeyFrame, verify_update

DISTILL = DistillSettings(max_updates=6, cold_start_updates=6, cold_start_group=PARTIAL)


@pytest.fixture
def tutor(scene: Scene, classes: ClassSet, info: StudentInfo) -> Tutor:
    return Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
                 TutorSettings(DISTILL, max_streams=2, idle_timeout=1e6))


def key_frame(scene: Scene, index: int = 0, stream_id: str = 'a', **fields: int) -> KeyFrame:
    values = {'sequence': 1, 'session_id': 0, 'student_version': 0, **fields}
    return KeyFrame(stream_id=stream_id, stamp=scene.stamp(index), frame_id='camera',
                    encoded=encode_frame(scene.frames[index], 'png'), **values)


def test_an_unknown_robot_gets_the_whole_student_and_then_the_back(
    tutor: Tutor, scene: Scene,
) -> None:
    first = tutor.distill(key_frame(scene))
    assert (first.group, first.base_version) == (FULL, 0)
    second = tutor.distill(key_frame(
        scene, 1, session_id=first.session_id, student_version=first.version))
    assert (second.group, second.base_version) == (PARTIAL, first.version)
    assert second.version == first.version + 1
    assert second.session_id == first.session_id


def test_progress_is_told_in_order(tutor: Tutor, scene: Scene) -> None:
    told: list[Progress] = []
    update = tutor.distill(key_frame(scene), told.append)
    assert [p.phase for p in told[:3]] == [Phase.QUEUED, Phase.LABELLING, Phase.TRAINING]
    assert [p.step for p in told[3:]] == list(range(update.steps + 1))
    assert told[3].metric == update.initial_metric


def test_a_truncated_key_frame_is_refused_and_the_next_one_works(
    tutor: Tutor, scene: Scene,
) -> None:
    good = key_frame(scene)
    jpeg = encode_frame(scene.frames[0], 'jpeg')
    bad = replace(good, encoded=EncodedFrame('jpeg', jpeg.data[:len(jpeg.data) // 2]))
    with pytest.raises(BadKeyFrame, match='truncated'):
        tutor.distill(bad)
    assert tutor.distill(good).steps > 0


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


def test_streams_do_not_teach_each_other(tutor: Tutor, scene: Scene) -> None:
    untouched = tutor.first_student('b').weights.payload
    for index in range(4):
        tutor.distill(key_frame(scene, index, stream_id='a'))
    assert tutor.first_student('b').weights.payload == untouched
    assert tutor.first_student('a').weights.payload != untouched


class SlowTeacher:
    name, version = 'slow', '1'

    def __init__(self) -> None:
        self.busy, self.go = threading.Event(), threading.Event()

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        self.busy.set()
        self.go.wait(30)
        return Labelling(np.full(frame.shape[:2], 8, np.uint8),
                         np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def test_a_newer_key_frame_replaces_a_queued_one(info: StudentInfo, scene: Scene) -> None:
    teacher = SlowTeacher()
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(DISTILL))
    results: dict[int, object] = {}
    queued = {2: threading.Event(), 3: threading.Event()}

    def distill(sequence: int) -> None:
        def note(progress: Progress) -> None:
            if progress.phase is Phase.QUEUED and sequence in queued:
                queued[sequence].set()
        try:
            results[sequence] = tutor.distill(key_frame(scene, sequence=sequence), note)
        except Superseded as error:
            results[sequence] = error

    threads = [threading.Thread(target=distill, args=(n,)) for n in (1, 2, 3)]
    threads[0].start()
    assert teacher.busy.wait(30)
    for thread, event in zip(threads[1:], queued.values()):
        thread.start()
        assert event.wait(30)
    teacher.go.set()
    for thread in threads:
        thread.join(30)
    assert isinstance(results[2], Superseded)
    assert {n: getattr(results[n], 'sequence', None) for n in (1, 3)} == {1: 1, 3: 3}


def test_who_is_queued_hears_so_again_and_again_and_may_leave(
    info: StudentInfo, scene: Scene,
) -> None:
    teacher = SlowTeacher()
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(DISTILL))
    other = threading.Thread(target=tutor.distill, args=(key_frame(scene, stream_id='other'),))
    other.start()
    assert teacher.busy.wait(30)
    heard: list[Progress] = []

    def hear(progress: Progress) -> None:
        heard.append(progress)
        if len(heard) == 3:
            raise InterruptedError

    tutor.open('test')  # does not wait for the other's lesson either
    with pytest.raises(InterruptedError):
        tutor.distill(key_frame(scene), hear)
    assert heard == 3 * [Progress(Phase.QUEUED)]
    assert tutor.report().queued == 0
    teacher.go.set()
    other.join(30)


def test_a_label_that_does_not_fit_is_named(info: StudentInfo, scene: Scene) -> None:
    class WrongSize:
        name, version = 'wrong', '1'

        def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
            return Labelling(np.zeros((2, 2), np.uint8), np.zeros((0, 4), np.float32),
                             np.zeros(0, np.float32))

    tutor = Tutor(WrongSize(), Student.random(info, 0), TutorSettings(DISTILL))
    with pytest.raises(BadLabel, match=r'wrong: label has size \(2, 2\), the frame \(96, 128\)'):
        tutor.distill(key_frame(scene))


def test_a_cancelled_lesson_is_still_a_version(tutor: Tutor, scene: Scene) -> None:
    class Cancelled(Exception):
        pass

    def cancel(progress: Progress) -> None:
        if progress.step == 1:
            raise Cancelled

    first = tutor.first_student('a')
    with pytest.raises(Cancelled):
        tutor.distill(key_frame(scene), cancel)
    update = tutor.distill(key_frame(scene, session_id=first.session_id))
    assert update.version == 2


def test_other_settings_hold_from_the_next_key_frame_on(tutor: Tutor, scene: Scene) -> None:
    assert tutor.distill(key_frame(scene)).steps > 1
    tutor.change(replace(DISTILL, threshold=0.999, max_updates=1, cold_start_updates=1))
    assert tutor.distill(key_frame(scene, 1)).steps == 1
    assert tutor.distill(key_frame(scene, stream_id='b')).steps == 1


def test_a_report_says_what_happens_while_it_happens(tutor: Tutor, scene: Scene) -> None:
    reports = {}
    update = tutor.distill(
        key_frame(scene), lambda progress: reports.setdefault(progress.phase, tutor.report()))
    assert [reports[phase].queued for phase in (Phase.QUEUED, Phase.LABELLING)] == [1, 0]
    assert reports[Phase.QUEUED].teaching_seconds == 0.0
    assert 0.0 < reports[Phase.TRAINING].teaching_seconds < tutor.report().teaching_seconds
    stream, = tutor.report().streams
    assert (stream.stream_id, stream.version, stream.key_frames) == ('a', update.version, 1)
    assert (stream.initial_metric, stream.metric, stream.steps) == (
        update.initial_metric, update.metric, update.steps)


def test_a_key_frame_that_is_given_up_waits_no_longer(tutor: Tutor, scene: Scene) -> None:
    def give_up(progress: Progress) -> None:
        raise RuntimeError('given up')

    with pytest.raises(RuntimeError, match='given up'):
        tutor.distill(key_frame(scene), give_up)
    assert tutor.report().queued == 0


def test_the_metric_is_that_of_the_student_that_the_robot_gets(
    tutor: Tutor, scene: Scene, info: StudentInfo,
) -> None:
    start = tutor.first_student('a')
    robot = student_from_update(start, info)
    update = tutor.distill(key_frame(scene, session_id=start.session_id))
    assert update.weights.encoding == DELTA
    robot.load(verify_update(update, robot.weights, start.session_id, start.version))
    mask = robot.segment(scene.frames[0])
    assert update.metric == mean_iou_of_masks(mask, scene.labels[0], len(info.class_names))


@pytest.mark.parametrize('tolerance', [-1.0, 1.0])
def test_a_lesson_that_is_lost_by_coarse_steps_is_sent_in_finer_ones(
    tutor: Tutor, scene: Scene, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
    tolerance: float,
) -> None:
    """What is sent is what was trained, although it is judged in the same student."""
    monkeypatch.setattr('shadowtutor_ros.runtime.tutor._TOLERANCE', tolerance)
    trained: dict[str, Tensor] = {}
    encode = Encoder.encode

    def note(self: Encoder, tensors: dict[str, Tensor], *rest: Any) -> Any:
        trained.update({name: tensor.clone() for name, tensor in tensors.items()})
        return encode(self, tensors, *rest)

    start = tutor.first_student('a')
    monkeypatch.setattr(Encoder, 'encode', note)
    update = tutor.distill(key_frame(scene, session_id=start.session_id))
    first = student_from_update(start, info).weights(FULL)
    decoded = decode_delta(update.weights, {name: first[name] for name in trained})
    for spec in update.weights.tensors:
        error = (decoded[spec.name] - trained[spec.name]).abs().max()
        assert error <= spec.scale / 2 * 1.001
        rms = (trained[spec.name] - first[spec.name]).square().mean().sqrt()
        if spec.length > 30_000:
            assert (spec.scale < 0.5 * rms) == (tolerance < 0)


def test_who_looks_on_sees_the_robots_own_mask(
    tutor: Tutor, scene: Scene, info: StudentInfo,
) -> None:
    seen = []
    update = tutor.distill(key_frame(scene), on_lesson=lambda update, frame, label, segment:
                           seen.append((update, frame, label, segment())))
    (shown, frame, label, mask), = seen
    assert shown is update
    np.testing.assert_array_equal(frame, scene.frames[0])
    np.testing.assert_array_equal(label, scene.labels[0])
    np.testing.assert_array_equal(mask, student_from_update(update, info).segment(frame))
