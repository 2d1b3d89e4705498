# SPDX-License-Identifier: Apache-2.0
"""The adapter's options, with a torchvision of our own: the real one needs torch for CUDA."""

from pathlib import Path
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn, Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import (
    BatchTeacher,
    StampedFrame,
    TeacherError,
    TeacherUnavailable,
)
from shadowtutor_ros.teacher.weights import file_version


class Network(nn.Module):
    """Sees one person in the left half, as sure as its only weight."""

    def __init__(self, box_score_thresh: float) -> None:
        super().__init__()
        self.sure = nn.Parameter(torch.tensor(0.0))
        self.threshold = box_score_thresh

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        assert not self.training
        return [self._detect(image) for image in images]

    def _detect(self, image: Tensor) -> dict[str, Tensor]:
        _, height, width = image.shape
        found = int(self.sure >= self.threshold)
        masks = torch.zeros(found, 1, height, width)
        masks[..., :width // 2] = image[0].max()  # the red of an RGB image
        return {'boxes': torch.tensor([[0.0, 0.0, width / 2, height]] * found).reshape(-1, 4),
                'labels': torch.ones(found, dtype=torch.int64),
                'scores': self.sure.detach().repeat(found), 'masks': masks}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Our torchvision; what weights it was asked for."""
    asked = []
    coco = SimpleNamespace(url='https://example.org/coco.pth',
                           meta={'categories': ['__background__', 'person']})

    def maskrcnn_resnet50_fpn_v2(
        *, weights: object, weights_backbone: object, box_score_thresh: float,
    ) -> Network:
        assert weights_backbone is None  # a download of its own
        asked.append(weights)
        if weights is not None:
            raise URLError('no network')
        return Network(box_score_thresh)

    detection: Any = ModuleType('torchvision.models.detection')
    detection.maskrcnn_resnet50_fpn_v2 = maskrcnn_resnet50_fpn_v2
    detection.MaskRCNN_ResNet50_FPN_V2_Weights = SimpleNamespace(COCO_V1=coco)
    for module in (ModuleType('torchvision'), ModuleType('torchvision.models'), detection):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def saved(path: Path, sure: float) -> Path:
    torch.save({'sure': torch.tensor(sure)}, path)
    return path


def test_a_local_file_is_taken_and_nothing_is_downloaded(
    classes: ClassSet, tmp_path: Path, asked: list[Any],
) -> None:
    path = saved(tmp_path / 'a.pth', 0.75)
    teacher = create_teacher('torchvision', classes, weights=str(path), score_threshold=0.7)
    assert asked == [None]
    assert (teacher.name, teacher.version) == ('torchvision', f'{file_version(path)} 0.7')
    red = np.zeros((2, 4, 3), np.uint8)
    red[..., 2] = 255  # BGR
    labelling = teacher.label(red)
    assert labelling.class_ids.tolist() == [[0, 0, 8, 8]] * 2
    assert labelling.class_ids.dtype == np.uint8
    assert labelling.boxes.tolist() == [[0, 0, 2, 2]]
    assert labelling.scores.tolist() == [0.75]


def test_frames_of_several_sizes_go_together(classes: ClassSet, tmp_path: Path) -> None:
    teacher = create_teacher(
        'torchvision', classes, weights=str(saved(tmp_path / 'a.pth', 0.75)))
    assert isinstance(teacher, BatchTeacher)
    red, black = np.full((2, 4, 3), (0, 0, 255), np.uint8), np.zeros((1, 2, 3), np.uint8)
    labellings = teacher.label_many([StampedFrame(red), StampedFrame(black)])
    assert [labelling.class_ids.tolist() for labelling in labellings] == [
        [[0, 0, 8, 8]] * 2, [[8, 8]]]
    assert labellings[1].boxes.tolist() == [[0, 0, 1, 1]]


def test_the_threshold_reaches_the_network(classes: ClassSet, tmp_path: Path) -> None:
    path = saved(tmp_path / 'a.pth', 0.75)
    teacher = create_teacher('torchvision', classes, weights=str(path), score_threshold=0.8)
    assert teacher.label(np.zeros((2, 4, 3), np.uint8)).boxes.shape == (0, 4)


def test_other_weights_are_another_version(classes: ClassSet, tmp_path: Path) -> None:
    one, other = (create_teacher('torchvision', classes,
                                 weights=str(saved(tmp_path / f'{sure}.pth', sure)))
                  for sure in (0.75, 0.8))
    assert one.version != other.version


def test_weights_of_another_network_are_named(classes: ClassSet, tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(TeacherError, match=r"a\.pth: expected the 1 weights .* 'sure'"):
        create_teacher('torchvision', classes, weights=str(tmp_path / 'a.pth'))


def test_a_failed_download_names_the_way_out(classes: ClassSet) -> None:
    with pytest.raises(TeacherUnavailable, match=r'example\.org/coco\.pth cannot be had, give a '
                                                 'local file as teacher_weights .*no network'):
        create_teacher('torchvision', classes)
