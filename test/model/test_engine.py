# SPDX-License-Identifier: Apache-2.0
"""Precisions, and the recorded graph where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model import engine
from shadowtutor_ros.model.engine import MaskGraph, pick_precision
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo

CPU = torch.device('cpu')
INFO = StudentInfo(('cat', 'dog', 'background'))


def _frame(height: int = 48, width: int = 64) -> np.ndarray:
    frame = np.random.default_rng(0).integers(60, 110, (height, width, 3), np.uint8)
    frame[10:30, 8:40] = 200, 30, 30
    return frame


def _label(height: int = 48, width: int = 64) -> np.ndarray:
    label = np.full((height, width), 2, np.uint8)
    label[10:30, 8:40] = 0
    return label


def test_names_are_dtypes() -> None:
    assert pick_precision('fp32', CPU) == torch.float32
    assert pick_precision('bf16', CPU) == torch.bfloat16
    assert pick_precision('fp16', torch.device('cuda')) == torch.float16
    assert pick_precision('auto', torch.device('cuda')) == torch.float16


@pytest.mark.parametrize(('speed_up', 'dtype'), [
    (0.1, torch.float32), (1.4, torch.float32), (1.6, torch.bfloat16)])
def test_a_cpu_takes_bf16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, speed_up: float, dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(engine, '_bf16_speed_up', lambda device: speed_up)
    assert pick_precision('auto', CPU) == dtype


def test_the_speed_up_is_measured() -> None:
    assert engine._bf16_speed_up(CPU) > 0


@pytest.mark.parametrize(('name', 'message'), [
    ('int8', "precision: expected one of auto, fp32, fp16, bf16, got 'int8'"),
    ('fp16', 'precision fp16 needs a GPU')])
def test_other_precisions_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick_precision(name, CPU)


def test_masks_in_bf16_are_nearly_those_in_fp32() -> None:
    student = Student.random(INFO, 0)
    settings = DistillSettings(threshold=0.95, cold_start_updates=60)
    Trainer(student, settings).train(_frame(), _label(), np.zeros((0, 4), np.float32))
    exact = student.segment(_frame())
    student.precision = torch.bfloat16
    assert (student.segment(_frame()) == exact).mean() > 0.98
    assert all(t.dtype == torch.float32 for t in student.weights(FULL).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_the_graph_uses_new_weights_and_sizes() -> None:
    student = Student.random(INFO, 0, 'cuda')
    plain = Student.random(INFO, 0)
    for seed in (0, 1):
        for size in ((48, 64), (33, 57), (48, 64)):
            weights = Student.random(INFO, seed).weights(FULL)
            student.load(weights)
            plain.load(weights)
            same = student.segment(_frame(*size)) == plain.segment(_frame(*size))
            assert same.mean() > 0.99
    assert isinstance(student._graph, MaskGraph)
