# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
import math
import threading

import numpy as np
import pytest
from runtime.loops import (
    assert_same_weights,
    make_loop,
    make_tutor,
    run,
    SCHEDULE,
    Tampered,
    weights_of,
)
from runtime.near import NearDevice
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import BadFrame, Frame
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.inference import LocalInference
from shadowtutor_ros.runtime.link import LinkFailure, LocalLink, Reply
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.sharing import SharedInference
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.schedule import dealer
from shadowtutor_ros.schedule.dealer import PIPELINE
from shadowtutor_ros.schedule.link_policy import Exchange, LinkLimits, LinkPolicy
from shadowtutor_ros.schedule.scheduler import Scheduler, ScheduleSettings
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.key_frame import EncodedFrame, FRAME_FORMATS, Png
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


def test_a_key_frame_is_encoded_while_it_is_segmented(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, seen = threading.Event(), []

    class Patient(Png):
        def encode(self, frame: Frame, quality: int) -> EncodedFrame:
            seen.append(begun.wait(10))
            return super().encode(frame, quality)

    class Begun(LocalInference):
        def submit(self, picture: CameraPicture) -> Future[Mask]:
            begun.set()
            return super().submit(picture)

    monkeypatch.setitem(FRAME_FORMATS, 'png', Patient())
    tutor = make_tutor(scene, classes, info)
    first = tutor.first_student('test')
    student = student_from_update(first, info)
    loop = StudentLoop(student, Scheduler(SCHEDULE), LocalLink(tutor), 'test',
                       KeyFrameSettings('png'), first.session_id, first.version,
                       inference=Begun(student))
    run(loop, scene, range(2))
    assert seen == [True]
    assert loop.counters.updates_applied == 1


def test_a_key_frame_that_cannot_be_decoded_has_failed(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    def read() -> Frame:
        raise BadImage('no last row')

    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    height, width = scene.frames[0].shape[:2]
    answer = loop.submit(CameraPicture((height, width), read))  # the first is a key frame
    loop.settle()
    with pytest.raises(BadImage, match='no last row'):
        answer.result(60)
    assert loop.counters.failures == 1
    assert loop.counters.detail == 'BadImage: no last row'
    run(loop, scene, range(10))
    assert loop.counters.updates_applied > 0


def test_a_restarted_tutor_sends_the_whole_student_to_whom_hands_none_up(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    link = LocalLink(tutor)
    loop = make_loop(tutor, link)
    run(loop, scene, range(10))
    old_session = loop.session_id
    groups = []

    class Watched(Tampered):
        def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
            self.link.send(replace(key_frame, layout_hash=0))

        def receive(self, wait: bool) -> Reply | None:
            reply = self.link.receive(wait)
            if isinstance(reply, StudentUpdate):
                groups.append(reply.group)
            return reply

    tutor = make_tutor(scene, classes, info)
    loop._link = Watched(LocalLink(tutor), 0, lambda update: update)
    run(loop, scene, range(10, 30))
    assert groups[0] == FULL
    assert set(groups[1:]) == {PARTIAL}
    assert loop.session_id != old_session
    assert_same_weights(
        weights_of(loop.student), weights_of(tutor._streams['test']._state))

OTHER_CLASSES = [
    pytest.param(lambda names: (*names[1:-1], names[0], names[-1]), id='same count'),
    pytest.param(lambda names: (*names[:-1], 'forklift', names[-1]), id='another count'),
]


@pytest.mark.parametrize('other', OTHER_CLASSES)
def test_a_tutor_of_other_classes_is_named_and_its_student_goes_on_with_all_counts(
    other: Callable[[tuple[str, ...]], tuple[str, ...]], scene: Scene, classes: ClassSet,
    info: StudentInfo,
) -> None:
    names = other(info.class_names)
    foreign = StudentInfo(names, tuple((k, k, k) for k in range(len(names))))
    link = LocalLink(make_tutor(scene, classes, info))
    loop = make_loop(link._tutor, link)
    run(loop, scene, range(4))
    applied, weights = loop.counters.updates_applied, weights_of(loop.student)
    assert applied
    assert not loop.foreign

    link._tutor = tutor = make_tutor(scene, classes, foreign)
    run(loop, scene, range(4, 12))
    assert loop.foreign
    assert loop.counters.detail.startswith('LayoutMismatch: ')
    assert loop.counters.updates_rejected == loop.counters.failures > 0
    assert loop.student.info == info
    assert_same_weights(weights_of(loop.student), weights)

    before = replace(loop.counters)
    loop.asking = True
    run(loop, scene, range(12, 16))
    assert loop.counters.key_frames == before.key_frames  # none that nobody could use
    first = tutor.first_student('test')
    loop.exchange(student_from_update(first, tutor.info), first.session_id, first.version)
    assert not loop.foreign
    assert not loop.counters.failed
    mask = loop.segment(scene.frames[16], scene.stamp(16))
    np.testing.assert_array_equal(
        mask, student_from_update(first, tutor.info).segment(scene.frames[16]))
    assert loop.counters.key_frames == before.key_frames + 1  # at once
    loop.settle()
    run(loop, scene, range(17, 24))
    assert loop.counters.updates_applied > applied
    assert loop.counters.updates_rejected == before.updates_rejected
    assert loop.counters.frames == 24
    assert loop.student.info == foreign
    assert_same_weights(
        weights_of(loop.student), weights_of(tutor._streams['test']._state))


def test_an_old_tutor_that_is_back_is_not_foreign(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Tampered(LocalLink(make_tutor(scene, classes, info)), 1,
                    lambda update: replace(update, layout_hash=update.layout_hash ^ 1))
    loop = make_loop(link.link._tutor, link)  # type: ignore[attr-defined]
    run(loop, scene, range(2))
    assert loop.foreign
    run(loop, scene, range(2, 8))
    assert loop.counters.updates_applied
    assert not loop.foreign


def test_masks_are_the_same_when_other_devices_make_them(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dealer, '_TOLERATED', math.inf)  # however busy this machine is
    monkeypatch.setattr(dealer, '_GRACE', 60.0)
    loops, masks = [], []
    for shares in False, True:
        tutor = make_tutor(scene, classes, info)
        first = tutor.first_student('test')
        student = student_from_update(first, info)
        shared = SharedInference(
            RunningStudent(student, first.session_id, first.version), PIPELINE)
        loops.append(StudentLoop(
            student, Scheduler(SCHEDULE), LocalLink(tutor), 'test', KeyFrameSettings(),
            first.session_id, first.version, inference=shared if shares else None))
    devices = [NearDevice(name, shared.on_done) for name in 'ab']
    for device in devices:
        shared.join(device)
    while any(share.pace is None for share in shared.shares()[1]):
        shared.submit(CameraPicture.of(scene.frames[0])).result(60)
    for index, frame in enumerate(scene.frames[:12]):
        loops[1].wait()
        picture = CameraPicture.of(frame)
        masks.append([loop.submit(picture, scene.stamp(index)) for loop in loops])
        for loop in loops:
            loop.settle()
    for here, there in masks:
        np.testing.assert_array_equal(here.result(60), there.result(60))
    assert loops[0].counters.updates_applied == loops[1].counters.updates_applied > 2
    assert sum(len(device.did) for device in devices) >= 12
    for device in devices:
        device.close()
    shared.close()


def test_a_frame_that_cannot_be_a_key_frame_is_segmented(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    assert loop.segment(np.zeros((16_384, 1, 3), np.uint8)).shape == (16_384, 1)
    assert (loop.counters.key_frames, loop.counters.failures) == (0, 1)
    assert 'webp cannot hold' in loop.counters.detail
    loop.settle()
    run(loop, scene, range(8))
    assert loop.counters.updates_applied
    assert not loop.counters.failed


def test_key_frames_say_whose_they_are(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    sent = []

    class Watched(Tampered):
        def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
            sent.append(key_frame.robot)
            super().send(key_frame)

    tutor = make_tutor(scene, classes, info)
    link = Watched(LocalLink(tutor), 0, lambda update: update)
    loop = StudentLoop(Student.random(info, 0), Scheduler(SCHEDULE), link, 'test', robot=77)
    run(loop, scene, range(1))
    assert sent == [77]


def test_teaching_helps(scene: Scene, classes: ClassSet, info: StudentInfo) -> None:
    from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
    tutor = make_tutor(scene, classes, info, TutorSettings(DistillSettings.plain(max_updates=16)))
    loop = make_loop(tutor, LocalLink(tutor))
    wild = Student.random(info, 0)
    taught, alone = [], []
    for index, (frame, label) in enumerate(zip(scene.frames, scene.labels)):
        taught.append(mean_iou_of_masks(
            loop.segment(frame, scene.stamp(index)), label, len(classes)))
        loop.settle()
        alone.append(mean_iou_of_masks(wild.segment(frame), label, len(classes)))
    assert np.mean(taught[10:]) > np.mean(alone[10:]) + 0.3


def test_traffic_and_staleness_are_counted(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    run(loop, scene, range(1))
    assert loop.counters.bytes_down == 103_465 * 2  # the partial set in fp16
    assert 0 < loop.counters.bytes_up < scene.frames[0].nbytes
    run(loop, scene, range(1, 2))
    assert loop.staleness() == (1, pytest.approx(1 / scene.fps))


def test_a_bad_frame_changes_nothing(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    with pytest.raises(BadFrame, match=r'expected .* HxWx3 .* got uint8 \(4, 4, 4\)'):
        loop.segment(np.zeros((4, 4, 4), np.uint8))
    assert (loop.counters.frames, loop.counters.key_frames) == (0, 0)


def test_the_camera_may_change_its_resolution(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    for size in [(96, 128), (33, 65), (1, 1), (96, 128)]:
        assert loop.segment(np.zeros((*size, 3), np.uint8)).shape == size
        loop.settle()


def test_a_policy_decides_about_timeout_quality_and_least_stride(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    silent = Tampered(LocalLink(tutor), 1, lambda update: LinkFailure('silence', silent=True))
    first = tutor.first_student('test')
    policy = LinkPolicy(LinkLimits(7.0, 90, 2, 8))
    loop = StudentLoop(
        student_from_update(first, info), Scheduler(ScheduleSettings(2, 8)), silent, 'test',
        KeyFrameSettings(quality=90), first.session_id, first.version, policy)
    run(loop, scene, range(1))
    assert silent.timeouts == [7.0]
    assert loop.counters.failures == 1
    assert loop.quality == policy.quality == 80
    run(loop, scene, range(1, 6))
    assert loop.counters.updates_applied >= 1
    assert 2.0 <= policy.timeout < 7.0
    assert loop.scheduler.floor == policy.stride_floor
    assert policy.goodput > 0
    for _ in range(20):
        policy.on_answer(Exchange(1000, turnaround=60.0, tutor=0.0, frame=1.0))
    updates = loop.counters.updates_applied
    run(loop, scene, range(6, 16))
    assert loop.counters.updates_applied > updates
    assert loop.scheduler.floor == policy.stride_floor == 8
    loop.change(ScheduleSettings(3, 8), KeyFrameSettings(), LinkLimits(7.0, 90, 3, 8))
    assert loop.scheduler.floor == 8


def test_without_a_policy_the_settings_hold(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    link = Tampered(LocalLink(tutor), 0, lambda update: update)
    loop = make_loop(tutor, link, quality=77)
    run(loop, scene, range(6))
    assert set(link.timeouts) == {None}
    assert (loop.quality, loop.scheduler.floor) == (77, SCHEDULE.min_stride)


def test_settings_may_change_between_two_frames(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    run(loop, scene, range(2))
    loop.change(ScheduleSettings(3, 3), KeyFrameSettings('png'), None)
    sent = loop.counters.key_frames
    run(loop, scene, range(2, 8))
    assert loop.scheduler.stride == 3
    assert loop.counters.key_frames == sent + 2
    limits = LinkLimits(7.0, 60, 3, 8)
    loop.change(ScheduleSettings(3, 8), KeyFrameSettings(), limits)
    assert loop.policy is not None
    assert (loop.quality, loop.policy.timeout) == (60, 7.0)
    policy = loop.policy
    loop.change(ScheduleSettings(3, 8), KeyFrameSettings(), LinkLimits(7.0, 50, 3, 8))
    assert loop.policy is policy
    assert loop.quality == 50


def test_a_key_frame_that_a_rest_interrupts_is_no_failure(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    loop = make_loop(tutor, LocalLink(tutor))
    loop.segment(scene.frames[0], scene.stamp(0))
    assert loop.scheduler.outstanding
    loop.rest()
    assert not loop.scheduler.outstanding
    assert (loop.counters.failures, loop.counters.failed) == (0, False)
    run(loop, scene, range(1, 2 * SCHEDULE.max_stride))
    assert loop.counters.updates_applied >= 1
    assert loop.counters.failures == 0
