# SPDX-License-Identifier: Apache-2.0
"""The product computes what the paper's network, plainly written, computes."""

from __future__ import annotations

import numpy as np
import pytest
from reference import Reference
from scene import make_scene, Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.protocol import Labelling

CLASSES = ClassSet.load(config_file('lvs8', 'classes'))


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp('scene'), CLASSES, 3)


@pytest.fixture(scope='module')
def taught(scene: Scene) -> Student:
    student = Student.random(StudentInfo(CLASSES.names), 0)
    settings = DistillSettings.plain(
        threshold=0.95, cold_start_updates=40, cold_start_group=PARTIAL)
    assert Trainer(student, settings).train(scene.frames[0], Labelling(scene.labels[0])).steps
    return student


def _reference(student: Student) -> Reference:
    return Reference(student.weights(FULL), student.info.mean, student.info.std)


@pytest.mark.parametrize('crop', [(96, 128), (95, 128), (96, 121), (61, 83), (40, 16)], ids=str)
def test_masks_and_logits_are_the_references(
    scene: Scene, taught: Student, crop: tuple[int, int],
) -> None:
    reference = _reference(taught)
    for frame in scene.frames:
        frame = frame[:crop[0], :crop[1]]
        with torch.no_grad():
            expected = reference.network(reference.prepare(frame))
            logits = taught.network(taught.prepare(frame))
        assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()
        assert (taught.segment(frame) == reference.segment(frame)).mean() >= 0.9999


@pytest.mark.parametrize('group', [PARTIAL, FULL])
def test_a_lesson_goes_as_the_references(scene: Scene, taught: Student, group: str) -> None:
    """The same metric and loss at every step, until rounding has grown."""
    student = taught.clone()
    reference = _reference(student)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    settings = DistillSettings.plain(
        threshold=0.9999, cold_start_updates=4, cold_start_group=group)
    Trainer(student, settings).train(
        scene.frames[2], Labelling(scene.labels[2]), lambda step, *seen: ours.append(seen))
    reference.distill(scene.frames[2], scene.labels[2], torch.ones(96, 128), 0.9999, 4,
                      on_step=lambda step, *seen: theirs.append(seen), full=group == FULL)
    assert len(ours) == len(theirs) == 5
    np.testing.assert_allclose(ours[:3], theirs[:3], rtol=2e-3)
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
