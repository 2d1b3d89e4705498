# SPDX-License-Identifier: Apache-2.0
"""Precisions, and the recorded graph where there is a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model import engine
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.teacher.protocol import Labelling

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


@pytest.mark.parametrize(('flags', 'dtype'), [
    ('fpu sse avx2 avx512f', torch.float32), ('fpu avx512_bf16', torch.bfloat16),
    ('fp asimd bf16 i8mm', torch.bfloat16), ('', torch.float32)])
def test_a_cpu_takes_bf16_where_it_has_instructions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, dtype: torch.dtype,
) -> None:
    info = tmp_path / 'cpuinfo'
    info.write_text(f'flags : {flags}\n')
    monkeypatch.setattr(engine, '_CPUINFO', info)
    assert pick_precision('auto', CPU) == dtype
    info.unlink()
    assert pick_precision('auto', CPU) == torch.float32


@pytest.mark.parametrize(('name', 'message'), [
    ('int8', "precision: expected one of auto, fp32, fp16, bf16, got 'int8'"),
    ('fp16', 'precision fp16 needs a GPU')])
def test_other_precisions_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick_precision(name, CPU)


def _taught() -> Student:
    student = Student.random(INFO, 0)
    settings = DistillSettings.plain(threshold=0.95, cold_start_updates=60)
    Trainer(student, settings).train(_frame(), Labelling(_label()))
    return student


def test_masks_in_bf16_are_nearly_those_in_fp32() -> None:
    student = _taught()
    exact = student.segment(_frame())
    student.precision = torch.bfloat16
    assert student.clone().precision == torch.bfloat16
    assert (student.segment(_frame()) == exact).mean() > 0.98
    assert all(t.dtype == torch.float32 for t in student.weights(FULL).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('precision', [torch.float32, torch.float16])
def test_the_graph_uses_new_weights_and_sizes(precision: torch.dtype) -> None:
    plain = _taught()
    student = Student.random(INFO, 0, 'cuda')
    student.precision = precision
    for weights in (Student.random(INFO, 1).weights(FULL), plain.weights(FULL)):
        student.load(weights)
        masks = [student.segment(_frame(*size)) for size in ((48, 64), (33, 57), (48, 64))]
    assert student._graph is not None
    assert student._graph._answering is not None
    for mask, size in zip(masks, ((48, 64), (33, 57), (48, 64)), strict=True):
        assert (mask == plain.segment(_frame(*size))).mean() > 0.98
