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
from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.teacher.weights import file_version

CAR = COCO_NAMES.index('car')
ZOO = 'https://example.org/model_final.pkl'


def configuration() -> Any:
    return SimpleNamespace(
        merge_from_file=lambda file: None,
        MODEL=SimpleNamespace(WEIGHTS='', DEVICE='', ROI_HEADS=SimpleNamespace(
            SCORE_THRESH_TEST=0.0)))


class Predictor:
    """Sees a car everywhere, as sure as its only weight."""

    made: list['Predictor'] = []  # noqa: RUF012

    def __init__(self, settings: Any) -> None:
        if settings.MODEL.WEIGHTS:
            raise OSError('no network')
        self.settings = settings
        self.model = nn.Module()
        self.model.sure = nn.Parameter(torch.tensor(0.0))
        Predictor.made.append(self)

    def __call__(self, frame: np.ndarray) -> dict[str, Any]:
        found: Any = SimpleNamespace(
            pred_masks=torch.ones(1, *frame.shape[:2], dtype=torch.bool),
            pred_classes=torch.tensor([CAR]), scores=self.model.sure.detach()[None],
            pred_boxes=SimpleNamespace(tensor=torch.zeros(1, 4)))
        found.to = lambda device: found
        return {'instances': found}


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
    labelling = teacher.label(np.zeros((2, 4, 3), np.uint8))
    assert labelling.class_ids.tolist() == [[classes.coco_lookup()[CAR]] * 4] * 2
    assert labelling.scores.tolist() == [0.75]


def test_weights_of_another_network_are_named(classes: ClassSet, tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(TeacherError, match=r"a\.pth: expected the 1 weights .* 'sure'"):
        create_teacher('detectron2', classes, weights=str(tmp_path / 'a.pth'))


def test_a_failed_download_names_the_way_out(classes: ClassSet) -> None:
    with pytest.raises(TeacherUnavailable, match=r'model_final\.pkl cannot be had, give a local '
                                                 'file as teacher_weights .*no network'):
        create_teacher('detectron2', classes)
