# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
import math
import threading

import numpy as np
import pytest
from runtime.near import NearDevice, Shared, whole_update
from scene import Scene

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime import sharing
from shadowtutor_ros.runtime.device import Done
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.sharing import FrameLost, SharedInference
from shadowtutor_ros.schedule import dealer
from shadowtutor_ros.schedule.dealer import ALONE, FRAMES, OWN, Pace, PIPELINE, WHOLE
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage


@pytest.fixture
def student(info: StudentInfo) -> Student:
    return Student.random(info, 1)


@pytest.fixture
def shared(student: Student) -> Iterator[Shared]:
    shared = Shared(student)
    yield shared
    shared.close()


@pytest.fixture(autouse=True)
def _any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine does to a device's pace is not the matter here."""
    monkeypatch.setattr(dealer, '_TOLERATED', math.inf)
    monkeypatch.setattr(dealer, '_GRACE', 60.0)
    monkeypatch.setattr(sharing, '_WORTH', 60.0)


def begin(shared: Shared, scene: Scene) -> None:
    """Submit frames until all devices are measured."""
    while any(share.pace is None for share in shared.shares()[1]):
        shared.wait()
        shared.submit(CameraPicture.of(scene.frames[0])).result(60)


def submit(shared: Shared, scene: Scene, count: int) -> list[Future[Mask]]:
    """Submit frames as soon as somebody has room; the first four again and again."""
    futures = []
    for index in range(count):
        shared.wait()
        futures.append(shared.submit(CameraPicture.of(scene.frames[index % 4])))
    return futures


def check(futures: list[Future[Mask]], student: Student, scene: Scene) -> None:
    masks = [student.segment(frame) for frame in scene.frames[:4]]
    for index, future in enumerate(futures):
        np.testing.assert_array_equal(future.result(60), masks[index % 4])


def frames_of(shared: Shared) -> dict[str, int]:
    return {share.device: share.frames for share in shared.shares()[1]}


def test_all_devices_work(shared: Shared, student: Student, scene: Scene) -> None:
    begin(shared, scene)
    before = frames_of(shared)
    check(submit(shared, scene, 60), student, scene)
    frames = frames_of(shared)
    assert sum(frames.values()) == sum(before.values()) + 60
    assert all(frames[name] > before[name] + 5 for name in frames)
    assert shared.shares()[0] == FRAMES


def test_who_computes_is_asked_to_begin(student: Student, scene: Scene) -> None:
    began: list[str] = []
    shared = SharedInference(RunningStudent(student, 7, 1), 'frames', begin=lambda: began.append(
        threading.current_thread().name))
    for frame in scene.frames[:2]:
        shared.submit(CameraPicture.of(frame)).result(60)
    assert began == ['own_0']
    shared.close()


def test_who_leaves_before_it_was_given_the_student_is_not_there(student: Student) -> None:
    shared = SharedInference(RunningStudent(student, 7, 1), 'frames')
    go = threading.Event()
    shared._own.submit(go.wait)
    device = NearDevice('a', shared.on_done)
    shared.join(device)
    shared.leave('a')
    go.set()
    shared._own.submit(lambda: None).result(60)
    assert [share.device for share in shared.shares()[1]] == [OWN]
    device.close()
    shared.close()


def test_a_pipeline_makes_the_same_masks(student: Student, scene: Scene) -> None:
    shared = Shared(student, PIPELINE)
    futures = submit(shared, scene, 40)
    check(futures, student, scene)
    assert shared.shares()[0] == PIPELINE
    frames = frames_of(shared)
    assert frames['a'] + frames['b'] > 30
    assert {kind for device in shared.near for _, kind in device.did} == {'features'}
    shared.close()


def test_frames_of_one_that_leaves_are_dealt_again(
    shared: Shared, student: Student, scene: Scene,
) -> None:
    begin(shared, scene)
    a = shared.near[0]
    a.go.clear()
    before = len(a.did)
    futures = submit(shared, scene, 20)
    shared.leave('a')
    check(futures, student, scene)
    a.go.set()
    a.close()
    assert len(a.did) > before  # it did go on, and nobody took that
    assert frames_of(shared).keys() == {OWN, 'b'}
    again = NearDevice('a', shared.on_done)
    shared.join(again)
    check(submit(shared, scene, 30), student, scene)
    assert frames_of(shared)['a'] > 3
    again.close()


def test_frames_of_a_silent_one_are_dealt_again(
    shared: Shared, student: Student, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(shared, scene)
    monkeypatch.setattr(dealer, '_GRACE', 0.2)
    shared.near[0].go.clear()
    shared.near[1].go.clear()
    check(submit(shared, scene, 40), student, scene)  # the own device's
    assert shared.shares()[0] == ALONE
    assert [share.answers for share in shared.shares()[1]] == [True, False, False]
    for device in shared.near:
        device.go.set()
    while shared.shares()[0] == ALONE:  # until one is asked again
        check(submit(shared, scene, 1), student, scene)


def test_a_frame_that_waited_for_other_weights_is_lost(
    shared: Shared, student: Student, info: StudentInfo, scene: Scene,
) -> None:
    begin(shared, scene)
    shared._dealer._own.paces[WHOLE] = Pace(100.0)  # all go to the others
    shared.near[0].go.clear()
    old = student.clone()
    futures = submit(shared, scene, 3)
    weights = Student.random(info, 2)
    shared.load(weights.weights(FULL), whole_update(weights, 2))
    shared.leave('a')
    lost = 0
    for index, future in enumerate(futures):
        try:
            np.testing.assert_array_equal(future.result(60), old.segment(scene.frames[index]))
        except FrameLost:
            lost += 1
    assert lost >= 1


def test_what_a_device_cannot_do_another_one_does(
    shared: Shared, student: Student, scene: Scene,
) -> None:
    begin(shared, scene)
    shared.near[0].error = 'out of memory'
    check(submit(shared, scene, 10), student, scene)
    assert shared.errors == 'a: out of memory'


def test_answers_of_a_stranger_are_not_taken(
    shared: Shared, student: Student, scene: Scene,
) -> None:
    stranger = NearDevice('a', shared.on_done)  # of the same name
    futures = submit(shared, scene, 10)
    for number in range(1, 30):
        shared.on_done(stranger, Done(
            number, np.full(scene.frames[0].shape[:2], 9, np.uint8), '', 0.0, 0.0))
    check(futures, student, scene)
    stranger.close()


def test_who_ends_leaves_no_frame_unanswered(student: Student, scene: Scene) -> None:
    shared = Shared(student, version=3)
    begin(shared, scene)
    for device in shared.near:
        device.go.clear()
    futures = submit(shared, scene, 3)
    shared.close()
    for future in futures:
        assert future.done()


def test_a_picture_whose_front_cannot_be_made_is_no_fault_of_who_waits_for_it(
    student: Student, scene: Scene,
) -> None:
    def read() -> Frame:
        raise BadImage('no last row')

    shared = Shared(student, PIPELINE)
    submit(shared, scene, 20)[-1].result(60)
    assert shared.shares()[0] == PIPELINE
    shared.wait()
    with pytest.raises(BadImage, match='no last row'):
        shared.submit(CameraPicture((96, 128), read)).result(60)
    assert all(share.answers for share in shared.shares()[1])
    check(submit(shared, scene, 10), student, scene)
    shared.close()


def test_a_picture_that_cannot_be_decoded_is_lost_alone(
    shared: Shared, student: Student, scene: Scene,
) -> None:
    def read() -> Frame:
        raise BadImage('no last row')

    begin(shared, scene)
    # At once, so that others than the own device are dealt some, too.
    for answer in [shared.submit(CameraPicture((96, 128), read)) for _ in range(6)]:
        with pytest.raises(BadImage, match='no last row'):
            answer.result(60)
    assert all(share.answers for share in shared.shares()[1])
    check(submit(shared, scene, 10), student, scene)
    assert shared.errors in ('a: no last row', 'b: no last row')
