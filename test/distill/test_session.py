# SPDX-License-Identifier: Apache-2.0
"""A session counts versions so that no robot applies a partial update to another front."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.distill.session import Session
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo

INFO = StudentInfo(('cat', 'background'))
FRAME = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
LABEL = (FRAME[..., 0] > 128).astype(np.uint8)
NO_BOXES = np.zeros((0, 4), np.float32)
ID = 0xABCDEF


def _session(group: str = PARTIAL, cold_start_group: str = PARTIAL) -> Session:
    settings = DistillSettings(
        threshold=0.999, max_updates=1, cold_start_updates=1, group=group,
        cold_start_group=cold_start_group)
    return Session(ID, Student.random(INFO, 0), settings)


def _learn_until_warm(session: Session) -> None:
    session.learn(FRAME, session.student.segment(FRAME), NO_BOXES)


def test_first_student_is_version_0() -> None:
    session = _session()
    assert (session.session_id, session.version, session.base_version) == (ID, 0, 0)


@pytest.mark.parametrize(('group', 'base_versions'), [(PARTIAL, [0, 0, 0]), (FULL, [1, 2, 3])])
def test_every_lesson_is_a_version_and_full_ones_a_base(
    group: str, base_versions: list[int],
) -> None:
    session = _session(group, group)
    for version, base_version in enumerate(base_versions, 1):
        assert session.learn(FRAME, LABEL, NO_BOXES).group == group
        assert (session.version, session.base_version) == (version, base_version)


def test_base_stays_at_the_last_full_lesson() -> None:
    session = _session(PARTIAL, cold_start_group=FULL)
    session.learn(FRAME, LABEL, NO_BOXES)
    _learn_until_warm(session)
    assert (session.version, session.base_version) == (2, 2)
    for version in (3, 4):
        assert session.learn(FRAME, LABEL, NO_BOXES).group == PARTIAL
        assert (session.version, session.base_version) == (version, 2)


@pytest.mark.parametrize(('group', 'base_version'), [(PARTIAL, 0), (FULL, 1)])
def test_a_lesson_cut_short_counts(group: str, base_version: int) -> None:
    session = _session(group, group)

    def cancel(step: int, metric: float, loss: float) -> None:
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        session.learn(FRAME, LABEL, NO_BOXES, cancel)
    assert (session.version, session.base_version) == (1, base_version)


@pytest.mark.parametrize(('session_id', 'version', 'expected'), [
    (ID, 2, PARTIAL),  # the base itself
    (ID, 3, PARTIAL),
    (ID, 1, FULL),  # its front is older
    (ID, 0, FULL),
    (ID, 4, FULL),  # claims to run what is only being made
    (ID, 9, FULL),
    (ID + 1, 3, FULL),  # a version of another tutor
    (0, 0, FULL),
])
def test_group_for_a_robot_at_a_version(session_id: int, version: int, expected: str) -> None:
    session = _session(PARTIAL, cold_start_group=FULL)
    session.learn(FRAME, LABEL, NO_BOXES)
    _learn_until_warm(session)
    for _ in range(2):
        session.learn(FRAME, LABEL, NO_BOXES)
    assert (session.version, session.base_version) == (4, 2)
    assert session.group_for(session_id, version, PARTIAL) == expected
    assert session.group_for(session_id, version, FULL) == FULL


@pytest.mark.parametrize('group', GROUPS)
def test_adopt_takes_the_weights_as_they_are(group: str) -> None:
    session = _session()
    rounded = {name: t.half().float() for name, t in session.student.weights(group).items()}
    assert any(not torch.equal(t, rounded[n]) for n, t in session.student.weights(group).items())
    session.adopt(rounded)
    assert all(torch.equal(t, rounded[n]) for n, t in session.student.weights(group).items())


def test_judge_adopts_and_tells_how_good_the_mask_is() -> None:
    session = _session()
    other = Student.random(INFO, 1)
    expected = mean_iou_of_masks(other.segment(FRAME), LABEL, 2)
    assert expected != mean_iou_of_masks(session.student.segment(FRAME), LABEL, 2)
    assert session.judge(other.weights(FULL), FRAME, LABEL) == expected
    assert all(torch.equal(t, other.weights(FULL)[n])
               for n, t in session.student.weights(FULL).items())
