# SPDX-License-Identifier: Apache-2.0
"""What a loaded tutor asks of a robot, and what the robot tells it."""

from dataclasses import replace

import pytest
from runtime.loops import (
    make_loop,
    make_tutor,
    run,
    SCHEDULE,
)
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.runtime.link import LinkFailure, LocalLink, Reply
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor
from shadowtutor_ros.schedule.link_policy import Exchange, LinkLimits
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class Loaded:
    """A link to a tutor that tells ``floor`` with its answers, or is gone."""

    def __init__(self, tutor: Tutor) -> None:
        self._link = LocalLink(tutor)
        self.floor = 0
        self.gone = False
        self.sent: list[KeyFrame] = []

    @property
    def answered_at(self) -> float:
        return self._link.answered_at

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        self.sent.append(key_frame)
        self._link.send(key_frame)

    def receive(self, wait: bool) -> Reply | None:
        reply = self._link.receive(wait)
        if self.gone:
            return LinkFailure('silence', silent=True)
        return (replace(reply, stride_floor=self.floor)
                if isinstance(reply, StudentUpdate) else reply)


def frames_to_next(loop: StudentLoop, scene: Scene) -> int:
    """Return how many frames come until the next key frame, which is counted."""
    sent = loop.counters.key_frames
    for count in range(1, 50):
        run(loop, scene, range(count, count + 1))
        if loop.counters.key_frames > sent:
            return count
    raise AssertionError('no key frame in 49 frames')


def test_a_tutors_floor_is_obeyed_until_it_says_otherwise(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    loop = make_loop(link._link._tutor, link)
    link.floor = 3 * SCHEDULE.max_stride
    run(loop, scene, range(1))
    assert (loop.tutor_floor, loop.scheduler.stride) == (24, 24)
    loop.change(SCHEDULE, KeyFrameSettings(), None)
    loop.change(SCHEDULE, KeyFrameSettings(), LinkLimits(7.0, 90, 2, 8))
    loop.change(SCHEDULE, KeyFrameSettings(), LinkLimits(7.0, 80, 2, 8))
    assert loop.scheduler.floor == 24
    loop.change(SCHEDULE, KeyFrameSettings(), None)  # whose floor goes by the clock
    link.floor = 0
    assert frames_to_next(loop, scene) == 24
    assert (loop.tutor_floor, loop.scheduler.floor) == (0, SCHEDULE.min_stride)
    assert loop.counters.failures == 0


def test_the_larger_of_two_floors_holds(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    loop = make_loop(link._link._tutor, link)
    loop.change(SCHEDULE, KeyFrameSettings(), LinkLimits(7.0, 90, 2, 8))
    assert loop.policy is not None
    run(loop, scene, range(1))
    for floor, expected in ((5, 8), (11, 11)):
        for _ in range(20):
            loop.policy.on_answer(Exchange(1000, turnaround=60.0, tutor=0.0, frame=1.0))
        link.floor = floor
        frames_to_next(loop, scene)
        assert loop.policy.stride_floor == 8
        assert (loop.tutor_floor, loop.scheduler.floor) == (floor, expected)


@pytest.mark.parametrize('policy', [None, LinkLimits(7.0, 90, 2, 8)], ids=['no policy', 'policy'])
def test_the_floor_of_a_tutor_that_is_gone_is_forgotten(
    policy: LinkLimits | None, scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    loop = make_loop(link._link._tutor, link)
    loop.change(SCHEDULE, KeyFrameSettings(), policy)
    link.floor = 20
    run(loop, scene, range(1))
    link.gone = True
    assert frames_to_next(loop, scene) == 20
    left = SCHEDULE.min_stride if loop.policy is None else loop.policy.stride_floor
    assert (loop.tutor_floor, loop.scheduler.floor) == (0, left)
    assert left < 20


def test_another_student_begins_without_a_floor(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    tutor = link._link._tutor
    loop = make_loop(tutor, link)
    link.floor = 20
    run(loop, scene, range(1))
    first = tutor.first_student('test')
    loop.exchange(student_from_update(first, tutor.info), first.session_id, first.version)
    assert (loop.tutor_floor, loop.scheduler.floor) == (0, SCHEDULE.min_stride)
    assert frames_to_next(loop, scene) == 1


def test_an_impossible_floor_is_refused_with_its_update(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    loop = make_loop(link._link._tutor, link)
    link.floor = 2**32 - 1
    run(loop, scene, range(1))
    assert loop.counters.detail.startswith('CorruptUpdate: stride_floor')
    assert (loop.version, loop.tutor_floor) == (0, 0)


def test_key_frames_say_how_often_their_robot_wants_to_ask(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    link = Loaded(make_tutor(scene, classes, info))
    loop = make_loop(link._link._tutor, link)
    link.floor = 20
    for _ in range(3):
        frames_to_next(loop, scene)
    assert link.sent[0].frame_period == 0.0  # one frame has no distance
    assert all(key_frame.frame_period > 0.0 for key_frame in link.sent[1:])
    assert link.sent[0].stride == SCHEDULE.min_stride
    assert link.sent[-1].stride <= SCHEDULE.max_stride  # whatever the floor
