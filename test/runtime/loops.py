# SPDX-License-Identifier: Apache-2.0
"""A tutor and a robot's loop in one process, for tests."""

from collections.abc import Callable

from scene import Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.link import Link, Reply
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

SCHEDULE = ScheduleSettings(min_stride=2, max_stride=8, policy=PACED, update_delay=1)


def make_tutor(
    scene: Scene, classes: ClassSet, info: StudentInfo, settings: TutorSettings | None = None,
) -> Tutor:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    settings = settings or TutorSettings(
        DistillSettings.plain(max_updates=2, cold_start_updates=2, cold_start_group=PARTIAL),
        WeightSettings('fp16'))
    return Tutor(teacher, Student.random(info, 0), settings)


def make_loop(tutor: Tutor, link: Link, quality: int = 90) -> StudentLoop:
    first = tutor.first_student('test')
    return StudentLoop(
        student_from_update(first, tutor.info), Scheduler(SCHEDULE), link, 'test',
        KeyFrameSettings(quality=quality), first.session_id, first.version)


def run(loop: StudentLoop, scene: Scene, indices: range) -> None:
    for index in indices:
        loop.segment(scene.frames[index], scene.stamp(index))
        loop.settle()


def weights_of(student: Student) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in student.weights(FULL).items()}


def assert_same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


class Tampered:
    """A link whose replies pass through ``change`` once, for the key frame numbered ``at``."""

    def __init__(self, link: Link, at: int, change: Callable[[StudentUpdate], Reply]) -> None:
        self.link, self.at, self.change = link, at, change
        self.sequence = 0
        self.timeouts: list[float | None] = []

    @property
    def answered_at(self) -> float:
        return self.link.answered_at

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        self.sequence = key_frame.sequence
        self.timeouts.append(timeout)
        self.link.send(key_frame)

    def receive(self, wait: bool) -> Reply | None:
        reply = self.link.receive(wait)
        if self.sequence == self.at and isinstance(reply, StudentUpdate):
            return self.change(reply)
        return reply
