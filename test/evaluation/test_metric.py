# SPDX-License-Identifier: Apache-2.0
"""Our mIoU against torchmetrics: classes that neither map has are left out, the rest averaged."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

from shadowtutor_ros.tasks.segmentation.metric import class_iou, mean_iou


@pytest.mark.parametrize('seed', range(20))
def test_mean_and_classes_are_torchmetrics(seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 20))
    present = random.integers(0, classes, random.integers(1, classes + 1))
    prediction, label = (torch.from_numpy(random.choice(present, (37, 53))) for _ in range(2))
    label[: 20] = prediction[: 20]
    expected = multiclass_jaccard_index(prediction, label, classes, average='macro')
    assert mean_iou(prediction, label, classes) == pytest.approx(float(expected), abs=1e-6)
    each = multiclass_jaccard_index(
        prediction, label, classes, average='none', zero_division=-1.0)
    ours = class_iou(prediction, label, classes)
    assert ours.nan_to_num(-1.0).tolist() == pytest.approx(each.tolist(), abs=1e-6)
