# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
import gc
import queue
import threading
import time
from typing import Any
import weakref

import numpy as np
import pytest
from runtime.key_frames import DISTILL, key_frame
from scene import Scene
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.job import Phase, Progress
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.tasks.protocol import BadLabelling
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.dct import to_planes
from shadowtutor_ros.wire.delta import as_array, decode_delta, DELTA_DCT
from shadowtutor_ros.wire.encoder import Encoder
from shadowtutor_ros.wire.errors import BadKeyFrame
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame
from shadowtutor_ros.wire.update import StudentUpdate, verify_update


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


def test_streams_do_not_teach_each_other(tutor: Tutor, scene: Scene) -> None:
    untouched = tutor.first_student('b').weights.payload
    for index in range(4):
        tutor.distill(key_frame(scene, index, stream_id='a'))
    assert tutor.first_student('b').weights.payload == untouched
    assert tutor.first_student('a').weights.payload != untouched


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
    tutor: Tutor, scene: Scene, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets what it was given last, to the bit, and the next answer is a difference to it."""
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._BEARABLE', 1.0)
    first = tutor.first_student('a')
    tutor.distill(key_frame(scene, session_id=first.session_id))
    again, whole = tutor.first_student('a'), tutor.first_student('a')
    assert again == whole
    assert (again.group, again.base_version, again.version) == (FULL, 0, 1)
    robot = student_from_update(again, info)
    update = tutor.distill(key_frame(
        scene, 1, session_id=again.session_id, student_version=again.version))
    assert (update.weights.encoding, update.base_version) == (DELTA_DCT, 1)
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
    assert update.weights.encoding == DELTA_DCT
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
        left = as_array(decoded[spec.name] - trained[spec.name])
        assert np.abs(to_planes(left)).max() <= spec.scale / 2 * 1.001
        rms = (trained[spec.name] - first[spec.name]).square().mean().sqrt()
        if spec.length > 30_000:
            assert (spec.scale < 0.5 * rms) == (tolerance < 0)


@pytest.mark.parametrize(('bearable', 'encoding'), [(-1.0, 'fp16'), (1.0, DELTA_DCT)])
def test_where_no_difference_keeps_the_lesson_all_weights_are_sent(
    tutor: Tutor, scene: Scene, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
    bearable: float, encoding: str,
) -> None:
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._TOLERANCE', -1.0)
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._BEARABLE', bearable)
    start = tutor.first_student('a')
    robot = student_from_update(start, info)
    for frame in range(2):
        update = tutor.distill(key_frame(
            scene, frame, session_id=start.session_id, student_version=frame))
        assert update.weights.encoding == encoding
        robot.load(verify_update(update, robot, start.session_id, frame))
        mask = robot.segment(scene.frames[frame])
        metric = mean_iou_of_masks(mask, scene.labels[frame], len(info.class_names))
        assert update.metric == pytest.approx(metric, abs=0.0 if encoding == DELTA_DCT else 0.02)


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


def test_who_comes_late_sees_the_last_lesson_of_every_stream(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
                  TutorSettings(replace(DISTILL, replay=1)))
    names = [f'robot{number}' for number in range(12)]  # more than may wait
    updates = {name: tutor.submit(replace(key_frame(scene, index), stream_id=name)).result(30)
               for index, name in enumerate(names)}
    tutor.first_student('silent')
    seen: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    tutor.show_again(lambda *lesson: seen.put(lesson))
    tutor._onlookers._thread.shutdown()
    assert seen.qsize() == len(names)
    for index, name in enumerate(names):
        shown, frame, label, mask = seen.get(timeout=30)
        assert (shown.stream_id, shown.sequence) == (name, updates[name].sequence)
        assert (shown.metric, shown.stamp) == (updates[name].metric, updates[name].stamp)
        np.testing.assert_array_equal(frame, scene.frames[index])
        np.testing.assert_array_equal(label, scene.labels[index])
        np.testing.assert_array_equal(
            mask, student_from_update(updates[name], info).segment(frame))


def test_who_is_slow_to_look_on_holds_nobody_up(tutor: Tutor, scene: Scene) -> None:
    release, looked_at = threading.Event(), []

    def on_lesson(update: StudentUpdate, *rest: Any) -> None:
        release.wait(30)
        looked_at.append(update.sequence)

    for sequence in range(1, 13):
        tutor.submit(key_frame(scene, sequence=sequence), on_lesson=on_lesson).result(30)
    release.set()
    tutor._onlookers._thread.shutdown()
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
        patch.setattr(TrainingState, '__init__', out_of_memory)
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
        tutor._pipeline._teachers.submit(lambda: None).result(30)
        assert isinstance(error, RuntimeError)
        assert kept[0]() is None
    finally:
        gc.enable()


def test_a_tutor_that_nobody_needs_is_gone_without_a_gc(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    """It has the memory of a device, and an evaluation makes many."""
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
                  TutorSettings(DISTILL, lessons_at_once=1))
    gone = threading.Event()
    weakref.finalize(tutor, gone.set)
    gc.disable()
    try:
        tutor.distill(key_frame(scene))
        del tutor
        assert gone.wait(30)
    finally:
        gc.enable()


def test_a_picture_that_cannot_be_made_costs_nobody_anything(
    tutor: Tutor, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: queue.SimpleQueue[int] = queue.SimpleQueue()

    def no_mask(*arguments: object) -> Any:
        raise RuntimeError('no')

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, 'answer', no_mask)
        for sequence in range(1, 11):  # more than there are places
            tutor.submit(key_frame(scene, sequence=sequence),
                         on_lesson=lambda update, *rest: shown.put(update.sequence)).result(30)
        tutor._pipeline._teachers.submit(lambda: None).result(30)
    tutor.submit(key_frame(scene, sequence=11),
                 on_lesson=lambda update, *rest: shown.put(update.sequence)).result(30)
    assert shown.get(timeout=30) == 11


def test_a_lesson_ends_with_the_best_so_far_when_its_time_is_up(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(
        DistillSettings(cold_start_updates=200), lesson_seconds=2.0))
    metrics = []

    def slow(progress: Progress) -> None:
        if progress.phase is Phase.TRAINING:
            metrics.append(progress.metric)
            if progress.step == 2:
                time.sleep(2.0)  # a picture of very many pixels

    update = tutor.distill(key_frame(scene), slow)
    assert update.steps == 2
    assert update.initial_metric == metrics[1]  # the first is that there is none yet
    assert update.metric == pytest.approx(max(metrics[1:]), abs=0.02)
    again = tutor.distill(key_frame(scene, 1, session_id=update.session_id,
                                    student_version=update.version), slow)
    assert (again.version, again.steps) == (update.version + 1, 2)
    assert again.weights.encoding == DELTA_DCT  # which was judged on the key frame


@pytest.mark.parametrize('ahead', [True, False])
def test_a_robot_that_runs_what_nobody_gave_it_is_right_with_the_next_answer(
    tutor: Tutor, scene: Scene, info: StudentInfo, ahead: bool,
) -> None:
    """Whoever sent it: a version far ahead, or a session that nobody knows."""
    first = tutor.distill(key_frame(scene))
    student = student_from_update(tutor.first_student(first.stream_id), info)
    session_id = first.session_id if ahead else 0xBAD
    answer = tutor.distill(key_frame(
        scene, 1, session_id=session_id, student_version=2**32 - 1))
    verify_update(answer, student, session_id, 2**32 - 1)
    after = tutor.distill(key_frame(
        scene, 2, session_id=answer.session_id, student_version=answer.version))
    student.load(verify_update(answer, student, session_id, 2**32 - 1))
    verify_update(after, student, answer.session_id, answer.version)
