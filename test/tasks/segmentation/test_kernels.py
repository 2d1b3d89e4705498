# SPDX-License-Identifier: Apache-2.0
"""The kernels for GPUs beside torch's operators; without a GPU Triton's interpreter runs them."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType, SimpleNamespace

import pytest
import torch

from shadowtutor_ros.tasks.segmentation import kernels as kernels_module
from shadowtutor_ros.tasks.segmentation.kernels import difference, kernels_for, kernels_on
from shadowtutor_ros.tasks.segmentation.loss import _LossOfKernels, distillation_loss
from shadowtutor_ros.tasks.segmentation.metric import class_iou
from shadowtutor_ros.tasks.segmentation.upsample import upsample

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
NAME = 'shadowtutor_ros.tasks.segmentation.triton_kernels'
SIZES = pytest.mark.parametrize(
    ('classes', 'height', 'width'), [(9, 6, 7), (3, 1, 1), (2, 1, 5), (1, 2, 2), (20, 5, 3),
                                     (9, 9, 20), (40, 2, 3)])


@pytest.fixture
def triton_kernels() -> ModuleType:
    pytest.importorskip('triton')
    return importlib.import_module(NAME)


def scene(classes: int, height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Return logits, label and weights."""
    random = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(1, classes, height, width, generator=random)
    label = torch.randint(classes, (2 * height, 2 * width), generator=random)
    weights = 5 * torch.rand(label.shape, generator=random)
    return logits.to(DEVICE), label.to(DEVICE), weights.to(DEVICE)


@SIZES
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_answers(
    triton_kernels: ModuleType, classes: int, height: int, width: int,
    layout: torch.memory_format, dtype: torch.dtype,
) -> None:
    logits = scene(classes, height, width)[0].to(dtype)
    answer = triton_kernels.answer_of(logits.contiguous(memory_format=layout))
    assert answer.dtype == torch.uint8
    expected = upsample(logits.float(), (2 * height, 2 * width))[0].argmax(0)
    assert torch.equal(answer.long(), expected)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')])
def test_answers_to_what_is_no_number_are_classes(
    triton_kernels: ModuleType, value: float,
) -> None:
    """Half precision ends at 65504: a student may say so of a frame, and its mask is used."""
    logits = scene(9, 4, 6)[0]
    logits[..., 1:3, 2:4] = value
    assert triton_kernels.answer_of(logits).max() < 9


@SIZES
def test_counts(
    triton_kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, classes: int, height: int,
    width: int,
) -> None:
    _, label, _ = scene(classes, height, width)
    prediction = label.clone()
    prediction[0] = 0
    label[-1, -1] = 255  # no label
    prediction[-1, 0] = 254  # no class
    expected = class_iou(prediction, label, classes)
    monkeypatch.setattr('shadowtutor_ros.tasks.segmentation.metric.kernels_on',
                        lambda device: triton_kernels)
    found = class_iou(prediction.to(torch.uint8), label, classes)
    torch.testing.assert_close(found, expected, equal_nan=True)


@SIZES
def test_losses_and_gradients(
    triton_kernels: ModuleType, classes: int, height: int, width: int,
) -> None:
    logits, label, weights = scene(classes, height, width)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss = _LossOfKernels.apply(ours, label, weights, triton_kernels)
    expected = distillation_loss(upsample(theirs, label.shape), label[None], weights)
    torch.testing.assert_close(loss, expected)
    for value in (loss, expected):
        (2 * value).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_kernels_are_believed_where_they_agree_with_torch(triton_kernels: ModuleType) -> None:
    assert difference(triton_kernels, DEVICE) == ''

    def others(**changed: object) -> SimpleNamespace:
        return SimpleNamespace(**{**vars(triton_kernels), **changed})

    assert 'masks' in difference(others(
        answer_of=lambda x: triton_kernels.answer_of(x.flip(1))), DEVICE)
    assert 'counts' in difference(others(
        counts_of=lambda *maps: triton_kernels.counts_of(*maps) + 1), DEVICE)
    loss_of = triton_kernels.loss_of
    assert 'losses' in difference(others(
        loss_of=lambda *of: (2 * loss_of(*of)[0], loss_of(*of)[1])), DEVICE)
    assert 'gradients' in difference(others(
        loss_of=lambda *of: (loss_of(*of)[0], 2 * loss_of(*of)[1])), DEVICE)


def test_what_does_not_work_is_said_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip('triton')
    monkeypatch.setattr(kernels_module, 'difference', lambda *_: 'masks differ by up to 3')
    with caplog.at_level(logging.WARNING):
        assert kernels_module._kernels.__wrapped__(torch.device('cpu')) is None
    assert 'no Triton kernels, masks and lessons are slower: masks differ' in caplog.text


def test_a_cpu_has_none() -> None:
    assert kernels_for(torch.zeros(1, 2, 3, 4), (6, 8)) is None
    assert kernels_on(torch.device('cpu')) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_gpu_has_them() -> None:
    logits = torch.zeros(1, 2, 3, 4, device='cuda')
    assert kernels_for(logits, (6, 8)) is not None
    assert kernels_for(logits, (6, 9)) is None
