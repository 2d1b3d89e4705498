# SPDX-License-Identifier: Apache-2.0
"""The mask is the argmax of the upsampled logits, however it is found."""

from __future__ import annotations

import pytest
import torch

from shadowtutor_ros.tasks.segmentation import mask
from shadowtutor_ros.tasks.segmentation.mask import mask_from_logits
from shadowtutor_ros.tasks.segmentation.upsample import upsample


def _scene(height: int, width: int, classes: int = 5) -> torch.Tensor:
    """Return logits with a few large regions and ragged borders."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.randn(1, classes, 4, 5, generator=generator)
    return upsample(8 * coarse, (height, width)) + 0.1 * torch.randn(
        1, classes, height, width, generator=generator)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (9, 1), (30, 50), (60, 60)], ids=str)
@pytest.mark.parametrize('most_border', [0.0, 0.1, 1.0])
def test_mask_is_the_argmax_of_the_upsampled(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], layout: torch.memory_format,
    most_border: float,
) -> None:
    monkeypatch.setattr(mask, '_MOST_BORDER', most_border)
    logits = _scene(*size).contiguous(memory_format=layout)
    wanted = 2 * size[0], 2 * size[1]
    found = mask_from_logits(logits, wanted)
    assert found.dtype == torch.uint8
    assert torch.equal(found, upsample(logits, wanted)[0].argmax(0).to(torch.uint8))


def test_regions_of_one_class_are_not_upsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError('upsampled')
    monkeypatch.setattr(mask, 'upsample', refuse)
    logits = torch.zeros(1, 3, 40, 40)
    logits[0, 2, 10:20, 15:25] = 1
    found = mask_from_logits(logits, (80, 80))
    assert found.unique().tolist() == [0, 2]
    assert found[22, 40] == 2
    assert found[10, 40] == 0


@pytest.mark.parametrize('size', [(13, 20), (14, 19), (13, 19)], ids=str)
def test_odd_sizes(size: tuple[int, int]) -> None:
    logits = _scene(7, 10)
    expected = upsample(logits, size)[0].argmax(0).to(torch.uint8)
    assert torch.equal(mask_from_logits(logits, size), expected)


def test_the_largest_class_id_fits() -> None:
    logits = torch.zeros(1, 256, 4, 4)
    logits[0, 255] = 1
    assert (mask_from_logits(logits, (8, 8)) == 255).all()
