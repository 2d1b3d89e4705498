# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
import gc
import queue
import threading
from typing import Any
import weakref

import numpy as np
import pytest
from scene import Scene
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.stream import Stream
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import (
    Phase,
    Progress,
    Tutor,
    TutorSettings,
)
from shadowtutor_ros.schedule.turns import BadStreamId, StreamTaken, Superseded, TooManyStreams
from shadowtutor_ros.tasks.protocol import BadLabelling
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.delta import decode_delta, DELTA
from shadowtutor_ros.wire.encoder import Encoder
from shadowtutor_ros.wire.errors import BadKeyFrame
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate, verify_update

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
    assert [p.phase for p in told[:2]] == [Phase.LABELLING, Phase.TRAINING]
    assert [p.step for p in told[2:]] == list(range(update.steps + 1))
    assert told[2].metric == update.initial_metric


def test_a_truncated_key_frame_is_refused_and_the_next_one_works(
    tutor: Tutor, scene: Scene,
) -> None:
    good = key_frame(scene)
    jpeg = encode_frame(scene.frames[0], 'jpeg')
    bad = replace(good, encoded=EncodedFrame('jpeg', jpeg.data[:len(jpeg.data) // 2]))
    with pytest.raises(BadKeyFrame, match='truncated'):
        tutor.distill(bad)
    assert tutor.distill(good).steps > 0


def test_a_key_frame_of_too_many_pixels_is_refused_before_the_teacher_sees_it(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(DISTILL, max_pixels=96 * 128))
    large = encode_frame(np.zeros((96, 129, 3), np.uint8), 'jpeg')
    with pytest.raises(BadKeyFrame, match='96x129: expected 1 to 12288 pixels'):
        tutor.distill(replace(key_frame(scene), encoded=large))
    assert tutor.distill(key_frame(scene)).steps > 0


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


@pytest.fixture
def teacher() -> Iterator[SlowTeacher]:
    """A teacher that works on what it is asked first until it may go on."""
    teacher = SlowTeacher()
    yield teacher
    teacher.go.set()


def busy_tutor(teacher: SlowTeacher, info: StudentInfo, scene: Scene, **places: Any) -> Tutor:
    """Return a tutor that teaches the stream 'a'."""
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(DISTILL, **places))
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
        DistillSettings(max_updates=0, cold_start_updates=0)))
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


def test_a_label_that_does_not_fit_is_named(info: StudentInfo, scene: Scene) -> None:
    class WrongSize:
        name, version = 'wrong', '1'

        def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
            return Labelling(np.zeros((2, 2), np.uint8), np.zeros((0, 4), np.float32),
                             np.zeros(0, np.float32))

    tutor = Tutor(WrongSize(), Student.random(info, 0), TutorSettings(DISTILL))
    with pytest.raises(BadLabelling, match=r'label has size \(2, 2\), the frame \(96, 128\)'):
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
    assert tutor.report().teaching_seconds == 0.0
    update = tutor.distill(
        key_frame(scene), lambda progress: reports.setdefault(progress.phase, tutor.report()))
    assert reports[Phase.LABELLING].queued == 0
    assert 0.0 < reports[Phase.TRAINING].teaching_seconds < tutor.report().teaching_seconds
    stream, = tutor.report().streams
    assert (stream.stream_id, stream.version, stream.key_frames) == ('a', update.version, 1)
    assert (stream.initial_metric, stream.metric, stream.steps) == (
        update.initial_metric, update.metric, update.steps)


def test_a_robot_that_asks_for_its_student_changes_nothing(
    tutor: Tutor, scene: Scene, info: StudentInfo,
) -> None:
    """It gets what it was given last, to the bit, and the next answer is a difference to it."""
    first = tutor.first_student('a')
    tutor.distill(key_frame(scene, session_id=first.session_id))
    again, whole = tutor.first_student('a'), tutor.first_student('a')
    assert again == whole
    assert (again.group, again.base_version, again.version) == (FULL, 0, 1)
    robot = student_from_update(again, info)
    update = tutor.distill(key_frame(
        scene, 1, session_id=again.session_id, student_version=again.version))
    assert (update.weights.encoding, update.base_version) == (DELTA, 1)
    robot.load(verify_update(update, robot, again.session_id, again.version))
    newest = student_from_update(tutor.first_student('a'), info)
    for name, tensor in robot.weights(FULL).items():
        assert tensor.numpy().tobytes() == newest.weights(FULL)[name].numpy().tobytes(), name


def test_the_metric_is_that_of_the_student_that_the_robot_gets(
    tutor: Tutor, scene: Scene, info: StudentInfo,
) -> None:
    start = tutor.first_student('a')
    robot = student_from_update(start, info)
    update = tutor.distill(key_frame(scene, session_id=start.session_id))
    assert update.weights.encoding == DELTA
    robot.load(verify_update(update, robot, start.session_id, start.version))
    mask = robot.segment(scene.frames[0])
    assert update.metric == mean_iou_of_masks(mask, scene.labels[0], len(info.class_names))


@pytest.mark.parametrize('tolerance', [-1.0, 1.0])
def test_a_lesson_that_is_lost_by_coarse_steps_is_sent_in_finer_ones(
    tutor: Tutor, scene: Scene, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
    tolerance: float,
) -> None:
    """What is sent is what was trained, although it is judged in the same student."""
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._TOLERANCE', tolerance)
    trained: dict[str, Tensor] = {}
    drafts = Encoder.drafts

    def note(self: Encoder, tensors: dict[str, Tensor], *rest: Any) -> Any:
        trained.update({name: tensor.clone() for name, tensor in tensors.items()})
        return drafts(self, tensors, *rest)

    start = tutor.first_student('a')
    monkeypatch.setattr(Encoder, 'drafts', note)
    update = tutor.distill(key_frame(scene, session_id=start.session_id))
    first = student_from_update(start, info).weights(FULL)
    decoded = decode_delta(update.weights, {name: first[name] for name in trained})
    for spec in update.weights.tensors:
        error = (decoded[spec.name] - trained[spec.name]).abs().max()
        assert error <= spec.scale / 2 * 1.001
        rms = (trained[spec.name] - first[spec.name]).square().mean().sqrt()
        if spec.length > 30_000:
            assert (spec.scale < 0.5 * rms) == (tolerance < 0)


def test_who_looks_on_sees_the_robots_own_mask_after_the_answer(
    tutor: Tutor, scene: Scene, info: StudentInfo,
) -> None:
    seen: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    answered = threading.Event()

    def on_lesson(*lesson: Any) -> None:
        assert answered.wait(30)
        seen.put(lesson)

    update = tutor.submit(key_frame(scene), on_lesson=on_lesson).result(30)
    answered.set()
    shown, frame, label, mask = seen.get(timeout=30)
    assert shown is update
    np.testing.assert_array_equal(frame, scene.frames[0])
    np.testing.assert_array_equal(label, scene.labels[0])
    np.testing.assert_array_equal(mask, student_from_update(update, info).segment(frame))


def test_who_is_slow_to_look_on_holds_nobody_up(tutor: Tutor, scene: Scene) -> None:
    release, looked_at = threading.Event(), []

    def on_lesson(update: StudentUpdate, *rest: Any) -> None:
        release.wait(30)
        looked_at.append(update.sequence)

    for sequence in range(1, 13):
        tutor.submit(key_frame(scene, sequence=sequence), on_lesson=on_lesson).result(30)
    release.set()
    tutor._show_thread.shutdown()
    assert looked_at == list(range(1, 9))  # more are not kept


def test_a_cuda_error_is_the_askers_and_the_next_key_frame_is_taught(
    tutor: Tutor, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*arguments: object) -> Any:
        raise RuntimeError('CUDA out of memory')

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, 'train', out_of_memory)
        with pytest.raises(RuntimeError, match='CUDA out of memory'):
            tutor.distill(key_frame(scene))
    assert tutor.distill(key_frame(scene)).version == 2


def test_a_stream_that_cannot_be_made_is_the_askers_error_too(
    tutor: Tutor, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*arguments: object) -> Any:
        raise RuntimeError('CUDA out of memory')

    with monkeypatch.context() as patch:
        patch.setattr(Student, 'clone', out_of_memory)
        with pytest.raises(RuntimeError, match='CUDA out of memory'):
            tutor.submit(key_frame(scene)).result(30)
    assert tutor.distill(key_frame(scene)).version == 1


def test_a_failed_lesson_keeps_nothing(
    tutor: Tutor, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it was raised in would hold the frame, and a device's memory, until the next gc."""
    kept: list[weakref.ref[np.ndarray]] = []

    def fail(self: Trainer, frame: np.ndarray, *rest: object) -> Any:
        kept.append(weakref.ref(frame))
        raise RuntimeError('no')

    monkeypatch.setattr(Trainer, 'train', fail)
    gc.disable()
    try:
        error = tutor.submit(key_frame(scene)).exception(30)
        tutor._teacher_thread.submit(lambda: None).result(30)
        assert isinstance(error, RuntimeError)
        assert kept[0]() is None
    finally:
        gc.enable()


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


def test_a_picture_that_cannot_be_made_costs_nobody_anything(
    tutor: Tutor, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: queue.SimpleQueue[int] = queue.SimpleQueue()

    def no_mask(*arguments: object) -> Any:
        raise RuntimeError('no')

    with monkeypatch.context() as patch:
        patch.setattr(Stream, 'mask', no_mask)
        for sequence in range(1, 11):  # more than there are places
            tutor.submit(key_frame(scene, sequence=sequence),
                         on_lesson=lambda update, *rest: shown.put(update.sequence)).result(30)
        tutor._teacher_thread.submit(lambda: None).result(30)
    tutor.submit(key_frame(scene, sequence=11),
                 on_lesson=lambda update, *rest: shown.put(update.sequence)).result(30)
    assert shown.get(timeout=30) == 11
