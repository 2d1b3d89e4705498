# SPDX-License-Identifier: Apache-2.0
"""The adapter's options, with a detectron2 of our own: the real one has no wheels."""

from collections.abc import Callable
from pathlib import Path
import pickle
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import (
    BatchTeacher,
    StampedFrame,
    TeacherError,
    TeacherUnavailable,
)
from shadowtutor_ros.teacher.weights import file_version

CAR = COCO_NAMES.index('car')
SEEN = 2  # the id of a car
RED = np.zeros((2, 4, 3), np.uint8)
RED[:, :2, 2] = 255  # BGR
ZOO = 'https://example.org/model_final.pkl'


def configuration() -> Any:
    return SimpleNamespace(
        merge_from_file=lambda file: None,
        MODEL=SimpleNamespace(WEIGHTS='', DEVICE='', ROI_HEADS=SimpleNamespace(
            SCORE_THRESH_TEST=0.0)))


class Model(nn.Module):
    """Sees a car where an RGB picture is red, as sure as its only weight."""

    def __init__(self) -> None:
        super().__init__()
        self.sure = nn.Parameter(torch.tensor(0.0))
        self.batches: list[int] = []

    def forward(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.batches.append(len(inputs))
        return [{'instances': self._instances(**one)} for one in inputs]

    def _instances(self, image: torch.Tensor, height: int, width: int) -> Any:
        assert image.dtype == torch.float32
        assert image.shape == (3, 2 * height, 2 * width)
        return SimpleNamespace(
            pred_masks=image[:1, ::2, ::2] > 200, pred_classes=torch.tensor([CAR]),
            scores=self.sure.detach()[None],
            pred_boxes=SimpleNamespace(tensor=torch.zeros(1, 4)))


class Twice:
    """Resizes as detectron2's augmentations do."""

    def get_transform(self, picture: np.ndarray) -> 'Twice':
        return self

    def apply_image(self, picture: np.ndarray) -> np.ndarray:
        return picture.repeat(2, 0).repeat(2, 1)


class Predictor:
    """Has what ours asks of DefaultPredictor."""

    made: list['Predictor'] = []  # noqa: RUF012

    def __init__(self, settings: Any) -> None:
        if settings.MODEL.WEIGHTS:
            raise OSError('no network')
        self.settings = settings
        self.model = Model()
        self.aug = Twice()
        self.input_format = 'RGB'
        Predictor.made.append(self)


@pytest.fixture(autouse=True)
def detectron2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detectron2 of our own."""
    monkeypatch.setattr(Predictor, 'made', [])
    parts: dict[str, dict[str, Callable[..., Any]]] = {
        'detectron2': {}, 'detectron2.config': {'get_cfg': configuration},
        'detectron2.engine': {'DefaultPredictor': Predictor},
        'detectron2.model_zoo': {'get_config_file': lambda name: name,
                                 'get_checkpoint_url': lambda name: ZOO}}
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    vars(sys.modules['detectron2'])['model_zoo'] = sys.modules['detectron2.model_zoo']


def test_a_local_file_is_taken_and_nothing_is_downloaded(
    classes: ClassSet, tmp_path: Path,
) -> None:
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps({'model': {'sure': np.array(0.75, np.float32)}}, 4))
    teacher = create_teacher(
        'detectron2', classes, weights=str(path), device='meta', score_threshold=0.7)
    settings = Predictor.made[0].settings
    assert settings.MODEL.WEIGHTS == ''
    assert settings.MODEL.DEVICE == 'meta'
    assert settings.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.7
    assert (teacher.name, teacher.version) == ('detectron2', f'{file_version(path)} 0.7')
    labelling = teacher.label(RED)
    assert labelling.class_ids.tolist() == [[SEEN, SEEN, 8, 8]] * 2
    assert labelling.scores.tolist() == [0.75]


def test_frames_of_several_sizes_go_together(classes: ClassSet) -> None:
    sys.modules['detectron2.model_zoo'].get_checkpoint_url = lambda name: ''
    teacher = create_teacher('detectron2', classes)
    assert isinstance(teacher, BatchTeacher)
    labellings = teacher.label_many([StampedFrame(RED), StampedFrame(RED[:1, ::-1])])
    assert [labelling.class_ids.tolist() for labelling in labellings] == [
        [[SEEN, SEEN, 8, 8]] * 2, [[8, 8, SEEN, SEEN]]]
    assert Predictor.made[0].model.batches == [2]


def test_a_model_for_bgr_gets_bgr(classes: ClassSet) -> None:
    sys.modules['detectron2.model_zoo'].get_checkpoint_url = lambda name: ''
    teacher = create_teacher('detectron2', classes)
    Predictor.made[0].input_format = 'BGR'
    assert (teacher.label(RED).class_ids == 8).all()


def test_weights_of_another_network_are_named(classes: ClassSet, tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(TeacherError, match=r"a\.pth: expected the 1 weights .* 'sure'"):
        create_teacher('detectron2', classes, weights=str(tmp_path / 'a.pth'))


def test_a_failed_download_names_the_way_out(classes: ClassSet) -> None:
    with pytest.raises(TeacherUnavailable, match=r'model_final\.pkl cannot be had, give a local '
                                                 'file as teacher_weights .*no network'):
        create_teacher('detectron2', classes)
