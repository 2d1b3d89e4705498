# SPDX-License-Identifier: Apache-2.0
"""Frames to labels, with teachers that take one and such that take many."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import Any

import numpy as np
import pytest

from shadowtutor_ros.runtime.labeller import Labeller
from shadowtutor_ros.teacher.protocol import Labelling, StampedFrame, TeacherError


class OneByOne:
    """Labels a frame with its first value; some values it does not like."""

    name, version = 'one', '1'

    def __init__(self, errors: dict[int, Exception]) -> None:
        self._errors = errors
        self.asked: list[list[int]] = []

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        self.asked.append([int(frame[0, 0, 0])])
        return self._label(frame)

    def _label(self, frame: np.ndarray) -> Labelling:
        if error := self._errors.get(int(frame[0, 0, 0])):
            raise error
        return Labelling(frame[..., 0])


class Together(OneByOne):
    """Takes them all at once, too."""

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        self.asked.append([int(stamped.frame[0, 0, 0]) for stamped in frames])
        return [self._label(stamped.frame) for stamped in frames]


class Forgetful(Together):
    """Loses the last one."""

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        return super().label_many(frames)[:-1]


FRAMES = [StampedFrame(np.full((2, 3 + value, 3), value, np.uint8), value / 10)
          for value in range(4)]
BAD = TeacherError('no label')
BROKEN = RuntimeError('CUDA error: an illegal memory access was encountered')


def answers_of(teacher: OneByOne, frames: Sequence[StampedFrame] = FRAMES) -> list[object]:
    """Return the value of each frame's labelling, checked for its size, or its error."""
    answers: list[object] = []
    for stamped, answer in zip(frames, Labeller(teacher).label(frames), strict=True):
        if isinstance(answer, Labelling):
            assert answer.class_ids.shape == stamped.frame.shape[:2]
            answers.append(int(answer.class_ids[0, 0]))
        else:
            answers.append(answer)
    return answers


def test_a_teacher_that_takes_one_gets_one_after_the_other() -> None:
    teacher = OneByOne({})
    assert answers_of(teacher) == [0, 1, 2, 3]
    assert teacher.asked == [[0], [1], [2], [3]]


def test_a_teacher_that_takes_many_gets_all_at_once_and_in_order() -> None:
    teacher = Together({})
    assert answers_of(teacher, FRAMES[::-1]) == [3, 2, 1, 0]
    assert teacher.asked == [[3, 2, 1, 0]]


def test_one_frame_alone_is_no_batch() -> None:
    teacher = Together({})
    assert answers_of(teacher, FRAMES[1:2]) == [1]
    assert answers_of(teacher, []) == []
    assert teacher.asked == [[1]]


@pytest.mark.parametrize('kind', [OneByOne, Together])
def test_an_error_of_one_frame_costs_no_other_its_label(
    kind: type[OneByOne], caplog: pytest.LogCaptureFixture,
) -> None:
    teacher = kind({1: BAD, 3: ValueError('odd')})
    with caplog.at_level(logging.WARNING):
        zero, one, two, three = answers_of(teacher)
    assert (zero, one, two) == (0, BAD, 2)
    assert isinstance(three, ValueError)
    assert teacher.asked[-4:] == [[0], [1], [2], [3]]
    assert len(caplog.records) == len(teacher.asked) - 4


@pytest.mark.parametrize('kind', [OneByOne, Together])
def test_a_broken_device_is_asked_no_more(kind: type[OneByOne]) -> None:
    teacher = kind({0: BAD, 1: BROKEN} if kind is OneByOne else {1: BROKEN})
    *first, second, third, fourth = answers_of(teacher)
    assert first == ([BAD] if kind is OneByOne else [BROKEN])
    assert second is third is fourth is BROKEN
    assert teacher.asked == ([[0], [1]] if kind is OneByOne else [[0, 1, 2, 3]])


def test_a_batch_with_too_few_answers_is_asked_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert answers_of(Forgetful({})) == [0, 1, 2, 3]
    assert 'expected 4 labellings, one of each frame, got 3' in caplog.text


class Silent(Together):
    """Forgets to return some of its answers."""

    def _label(self, frame: np.ndarray) -> Labelling:
        nothing: Any = None
        return nothing if frame[0, 0, 0] == 1 else super()._label(frame)


def test_an_answer_that_is_no_labelling_is_that_frames_error() -> None:
    zero, one, two, three = answers_of(Silent({}))
    assert (zero, two, three) == (0, 2, 3)
    assert isinstance(one, TeacherError)
    assert str(one) == 'expected a Labelling, got NoneType'
