# SPDX-License-Identifier: Apache-2.0
"""Students of the past, and lessons that start from them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime.loops import assert_same_weights, weights_of
from scene import Scene
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.library import Library
from shadowtutor_ros.runtime.link import LinkFailure, LocalLink, Reply
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.delta import DELTA_DCT

FRAME = np.zeros((8, 8, 3), np.uint8)
LABELLING = Labelling(np.zeros((8, 8), np.uint8), np.zeros((0, 4), np.float32),
                      np.zeros(0, np.float32))


def student_number(number: float) -> dict[str, Tensor]:
    """A student that ``Judge`` gives a metric of ``number``."""
    return {'w': torch.tensor([number])}


class Judge:
    """Compares students as a trainer does, and notes which."""

    def __init__(self) -> None:
        self.tried: list[float] = []

    def compare(
        self, frame: np.ndarray, labelling: Labelling, students: Iterable[Mapping[str, Tensor]],
    ) -> list[float]:
        self.tried = [float(student['w']) for student in students]
        return self.tried


@dataclass
class First:
    """What a library asks of the first student."""

    layout_hash: int = 7
    device: torch.device = field(default_factory=lambda: torch.device('cpu'))

    def weights(self, group: str) -> dict[str, Tensor]:
        return student_number(0.25)


def library_of(most: int = 32, folder: Path | None = None) -> Library:
    first: Any = First()
    return Library(first, most, folder)


def tried(library: Library, stream_id: str, current: float = 0.0) -> list[float]:
    judge: Any = Judge()
    library.best(stream_id, student_number(current), judge, FRAME, LABELLING)
    return judge.tried


def test_the_best_is_taken_if_it_is_clearly_better() -> None:
    library, judge = library_of(), Judge()
    trainer: Any = judge
    library.note('a', student_number(0.5))
    library.keep('a', 16, student_number(0.75))
    library.keep('b', 16, student_number(0.625))
    start = library.best('a', student_number(0.6875), trainer, FRAME, LABELLING)
    assert start is not None
    assert (start.id, start.gain, start.metric_before) == ('a@16', 0.0625, 0.6875)
    assert judge.tried == [0.6875, 0.25, 0.625, 0.75]
    assert library.best('a', student_number(0.703125), trainer, FRAME, LABELLING) is None


def test_the_first_student_is_tried_by_who_has_left_it() -> None:
    library = library_of()
    assert tried(library, 'a') == []  # a stream that begins has the first student
    library.note('a', student_number(0.5))
    assert tried(library, 'a', 0.5) == [0.5, 0.25]
    assert tried(library, 'b') == [0.0, 0.5]
    library.forget('a')
    assert tried(library, 'b') == []


def test_few_are_tried_and_those_first_that_were_of_use_last() -> None:
    library = library_of()
    for number in range(20):
        library.keep('a', number, student_number(number / 64))
    library.note('other', student_number(0.75))
    assert tried(library, 'b')[1:] == [
        19 / 64, 0.75, *(number / 64 for number in range(18, 12, -1))]
    judge: Any = Judge()
    library.forget('other')
    assert library.best('b', student_number(0.0), judge, FRAME, LABELLING).id == 'a@19'
    library.keep('c', 1, student_number(0.5))
    library.best('b', student_number(0.0), judge, FRAME, LABELLING)
    assert tried(library, 'b')[1:3] == [0.5, 19 / 64]


def test_of_too_many_that_goes_whose_neighbours_are_closest() -> None:
    library = library_of(most=4)
    library.keep('b', 3, student_number(0.5))
    for key_frames in (10, 20, 21, 40):
        library.keep('a', key_frames, student_number(key_frames / 64))
    assert set(library._past) == {'b@3', 'a@20', 'a@21', 'a@40'}
    library.keep('a', 60, student_number(0.5))
    assert set(library._past) == {'b@3', 'a@21', 'a@40', 'a@60'}
    library.keep('c', 5, student_number(0.5))
    assert set(library._past) == {'b@3', 'c@5', 'a@40', 'a@60'}


def test_what_float16_cannot_hold_is_not_kept() -> None:
    library = library_of()
    library.keep('a', 1, student_number(1e6))
    assert not library._past


def test_the_past_survives_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    library = library_of(3, tmp_path)
    for number in range(5):
        library.keep('a', number, student_number(number / 8))
    library.close()
    assert len(list(tmp_path.glob('*.state'))) == 3
    again = library_of(3, tmp_path)
    assert {past.id: float(past.tensors['w']) for past in again._past.values()} == {
        'a@2': 0.25, 'a@3': 0.375, 'a@4': 0.5}
    again.close()
    path = next(iter(tmp_path.glob('*.state')))
    path.write_bytes(b'damaged')
    assert len(library_of(3, tmp_path)._past) == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(path) in caplog.text


def test_another_students_past_is_left_alone(tmp_path: Path) -> None:
    library = library_of(3, tmp_path)
    library.keep('a', 1, student_number(0.5))
    library.close()
    other: Any = First(layout_hash=8)
    Library(other, 3, tmp_path).close()
    assert library_of(3, tmp_path)._past.keys() == {'a@1'}


# -- with a tutor ------------------------------------------------------------------------------


@dataclass
class Places:
    """A robot that goes from one place to another and back: frames and labels by number."""

    frames: list[np.ndarray]
    labels: list[np.ndarray]
    name: str = 'places'
    version: str = '1'

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        return Labelling(self.labels[round(stamp * 25)], np.zeros((0, 4), np.float32),
                         np.zeros(0, np.float32))


@pytest.fixture(scope='module')
def places(scene: Scene, classes: ClassSet) -> Places:
    """
    Forty frames of A, forty of B, and forty of A the other way round.

    In B what looks like A's objects is of other classes, as in another light.
    """
    other = np.arange(256, dtype=np.uint8)
    person, auto, dog, horse = (classes.names.index(name)
                                for name in ('person', 'auto', 'dog', 'horse'))
    other[[person, auto]] = horse, dog
    return Places([*scene.frames, *scene.frames, *scene.frames[::-1]],
                  [*scene.labels, *(other[label] for label in scene.labels), *scene.labels[::-1]])


@dataclass
class Trip:
    """A robot's way through ``places`` with a tutor, its masks and its updates."""

    tutor: Tutor
    loop: StudentLoop
    places: Places
    scores: list[float] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)  # frames after which one was applied

    def score(self, mask: np.ndarray, index: int) -> float:
        return mean_iou_of_masks(
            mask, self.places.labels[index], len(self.tutor.info.class_names))

    def go(self, frames: Iterable[int]) -> None:
        for index in frames:
            applied = self.loop.counters.updates_applied
            mask = self.loop.segment(self.places.frames[index], index * 40_000_000)
            self.loop.settle()
            self.scores.append(self.score(mask, index))
            if self.loop.counters.updates_applied > applied:
                self.updates.append(index)


@pytest.fixture
def trip(places: Places, info: StudentInfo, tmp_path: Path) -> Callable[..., Trip]:
    def trip(library: int = 32, link_to: Callable[[Tutor], Any] = LocalLink,
             stream_id: str = 'a', tutor: Tutor | None = None, folder: str = '') -> Trip:
        tutor = tutor or Tutor(places, Student.random(info, 0), TutorSettings(
            DistillSettings.plain(max_updates=2, cold_start_updates=32), lessons_at_once=1,
            library=library, state_folder=tmp_path / folder if folder else None))
        first = tutor.first_student(stream_id)
        schedule = Scheduler(ScheduleSettings(4, 8, 0.8, policy=PACED, update_delay=1))
        return Trip(tutor, StudentLoop(
            student_from_update(first, info), schedule, link_to(tutor), stream_id,
            session_id=first.session_id, version=first.version), places)
    return trip


def test_a_scene_that_comes_back_is_where_it_was_left_after_one_key_frame(
    trip: Callable[..., Trip],
) -> None:
    after = {}
    for library in (0, 32):
        robot = trip(library)
        robot.go(range(40))
        left = robot.loop.student.clone()
        robot.go(range(40, 120))
        first = next(index for index in robot.updates if index >= 80)
        again = range(first + 1, first + 6)
        after[library] = (np.mean(robot.scores[again.start:again.stop])
                          - np.mean([robot.score(left.segment(robot.places.frames[index]), index)
                                     for index in again]))
    assert after[32] > -0.03
    assert after[0] < -0.1
    stream, = robot.tutor.report().streams
    of_a = sum(index < 40 for index in robot.updates)  # the last of these was the last before B
    assert stream.library_id == f'a@{of_a}'
    assert stream.library_gain > 0.1
    # Differences all the same, and no other bits at the robot than at the tutor.
    assert robot.loop.counters.updates_rejected == 0
    assert_same_weights(weights_of(robot.loop.student),
                        weights_of(robot.tutor._streams['a']._state))


def test_a_switch_reaches_a_robot_that_missed_it(trip: Callable[..., Trip]) -> None:
    """The front is another one: a robot that runs an older one is sent all of the student."""
    answers: list[Any] = []

    class Losing(LocalLink):
        def receive(self, wait: bool) -> Reply | None:
            reply = super().receive(wait)
            started = robot.tutor._streams['a'].started_from
            if reply is not None and started and not answers:
                answers.append(reply)
                return LinkFailure('lost')
            if reply is not None and answers:
                answers.append(reply)
            return reply

    robot = trip(link_to=Losing)
    robot.go(range(120))
    lost, *after = answers
    assert (lost.group, lost.weights.encoding, lost.base_version) == (
        FULL, DELTA_DCT, lost.version - 1)
    assert (after[0].group, after[0].base_version) == (FULL, lost.version - 1)
    assert after[1].group == PARTIAL
    assert robot.loop.counters.failures == 1
    assert_same_weights(weights_of(robot.loop.student),
                        weights_of(robot.tutor._streams['a']._state))


def test_a_stream_that_begins_learns_from_the_others(trip: Callable[..., Trip]) -> None:
    robot = trip()
    robot.go(range(40))
    second = trip(stream_id='b', tutor=robot.tutor)
    second.go(range(8))
    report = next(s for s in robot.tutor.report().streams if s.stream_id == 'b')
    assert report.library_id == 'a'
    assert report.library_gain > 0.3
    assert second.scores[-1] > 0.6
    assert_same_weights(weights_of(second.loop.student),
                        weights_of(robot.tutor._streams['b']._state))


def test_the_library_and_what_is_usual_survive_a_restart(trip: Callable[..., Trip]) -> None:
    robot = trip(folder='state')
    robot.go(range(80))
    stream = robot.tutor._streams['a']
    past, usual = stream._library._past.keys(), stream._scene.usual
    robot.tutor.close()
    again = trip(folder='state')
    again.go(range(80, 96))
    stream = again.tutor._streams['a']
    assert again.tutor.report().streams[0].library_id in past
    assert stream._library._past.keys() > past
    assert stream._scene.lessons > 10
    assert usual > 0


def test_without_a_library_nothing_is_compared(
    trip: Callable[..., Trip], monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compare(*arguments: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(Trainer, 'compare', compare)
    robot = trip(library=0)
    robot.go(range(60))
    assert robot.loop.counters.failures == 0
    stream, = robot.tutor.report().streams
    assert (stream.library_id, stream.library_gain) == ('', 0.0)


def test_a_comparison_that_fails_leaves_the_stream_its_own_student(
    trip: Callable[..., Trip],
) -> None:
    robot = trip()
    stream = robot.tutor._streams['a']
    before = stream._state.on_host(FULL)
    stream._library.note('b', {name: tensor + 1 for name, tensor in before.items()})
    stream._library.note('c', {name: tensor.new_zeros(0) for name, tensor in before.items()})
    with pytest.raises(RuntimeError, match='size'):
        robot.go(range(5))
    assert_same_weights(before, stream._state.on_host(FULL))


def test_a_stream_that_ends_leaves_its_student_and_is_no_ones_neighbour_any_more(
    trip: Callable[..., Trip],
) -> None:
    robot = trip()
    robot.go(range(5))
    tutor = robot.tutor
    stream = tutor._streams['a']
    assert not stream._library._past
    tutor._turns.max_streams, tutor._turns._idle_timeout = 1, 0.0
    tutor.admit('b')
    assert tutor.streams == ('b',)
    assert stream._library._past.keys() == {f'a@{stream.key_frames}'}
    assert not stream._library._newest


def test_a_stream_that_lost_its_place_while_it_was_opened_is_no_ones_neighbour(
    trip: Callable[..., Trip], monkeypatch: pytest.MonkeyPatch,
) -> None:
    robot = trip(folder='state')
    robot.go(range(5))
    robot.tutor.close()
    tutor = trip(folder='state', stream_id='b').tutor
    tutor._turns.max_streams, tutor._turns._idle_timeout = 1, 0.0
    open_it, opened = tutor._store.open, []

    def slowly(stream_id: str) -> Any:
        opened.append(open_it(stream_id))
        tutor.admit('c')
        return opened[-1]

    monkeypatch.setattr(tutor._store, 'open', slowly)
    update = tutor.first_student('a')
    assert update.version == robot.loop.version
    assert tutor.streams == ('c',)
    assert not opened[0]._library._newest
    tutor.close()
