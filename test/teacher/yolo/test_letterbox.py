# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.teacher.yolo.letterbox import Letterbox

EVERYWHERE = np.array([-9, -9, 9999, 9999], np.float32)


@pytest.mark.parametrize(('size', 'outer'), [
    ((720, 1280), (384, 640)), ((576, 768), (480, 640)), ((640, 480), (640, 480)),
    ((1, 1000), (32, 640)), ((32, 32), (640, 640))])
def test_the_letterbox_maps_back(size: tuple[int, int], outer: tuple[int, int]) -> None:
    box = Letterbox.fit(*size, 640)
    assert box.outer == outer
    assert box.picture(np.zeros((*size, 3), np.uint8), torch.device('cpu')).shape == (3, *outer)
    picture = np.array([[box.left, box.top, box.left + box.inner[1], box.top + box.inner[0]]],
                       np.float32)
    frame = np.array([[0, 0, size[1], size[0]]], np.float32)
    np.testing.assert_allclose(box.boxes_to_frame(picture), frame, atol=1 / box.scale)


@pytest.mark.parametrize('size', [
    (720, 1280), (576, 768), (97, 131), (1, 1000), (32, 32), (640, 640), (333, 777)])
def test_a_picture_made_on_the_device_is_that_of_opencv(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.5), np.uint8).reshape(*size, 3)
    frame[:, :, 2] //= 2
    box = Letterbox.fit(*size, 640)
    here, there = box.picture_here(frame), box.picture_there(torch.from_numpy(frame))
    assert here.shape == there.shape == (3, *box.outer)
    # OpenCV rounds to bytes, from weights of 11 bits where it enlarges.
    assert (here - there).abs().max() * 255 < (0.51 if box.scale <= 1 else 1.1)


def test_a_picture_is_rgb_on_grey() -> None:
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[..., 2] = 255  # BGR
    box = Letterbox.fit(*frame.shape[:2], 40)
    assert box.outer == (32, 64)
    for picture in (box.picture_here(frame), box.picture_there(torch.from_numpy(frame))):
        torch.testing.assert_close(picture[:, 16, 32], torch.tensor([1.0, 0, 0]))
        torch.testing.assert_close(picture[:, 2, 5], torch.full((3,), 114 / 255))


def stretched(logits: Tensor, box: Letterbox) -> Tensor:
    """Return the frame's logits, stretched step by step."""
    stretched = F.interpolate(logits[None, None], box.outer, mode='bilinear')
    inner = stretched[..., box.top:box.top + box.inner[0], box.left:box.left + box.inner[1]]
    return F.interpolate(inner, box.size, mode='bilinear')[0, 0]


@pytest.mark.parametrize('size', [(97, 131), (576, 768), (720, 1280), (1000, 20)])
def test_masks_are_stretched_in_one_step_as_in_two(size: tuple[int, int]) -> None:
    box = Letterbox.fit(*size, 320)
    logits = torch.randn([side // 4 for side in box.outer],
                         generator=torch.Generator().manual_seed(0))
    expected = stretched(logits, box)
    patch = box.mask_to_frame(logits, EVERYWHERE)
    assert (patch.top, patch.left) == (0, 0)
    assert patch.inside.shape == size
    sure = expected.abs() > 1e-4
    assert torch.equal(patch.inside[sure], expected[sure] > 0)
    assert 0.2 < patch.inside.float().mean() < 0.8


def test_a_mask_is_cut_to_its_box_and_to_the_frame() -> None:
    box = Letterbox.fit(64, 64, 64)
    logits = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    whole = box.mask_to_frame(logits, EVERYWHERE).inside

    def cut(*corners: float) -> tuple[int, int, Tensor]:
        return box.mask_to_frame(logits, np.array(corners, np.float32))

    top, left, inside = cut(10.5, 20.9, 29.1, 40)
    assert (top, left) == (20, 10)
    assert torch.equal(inside, whole[20:40, 10:30])
    top, left, inside = cut(-5, 60, 3, 99)
    assert (top, left) == (60, 0)
    assert torch.equal(inside, whole[60:, :3])
    for outside in ((70, 10, 90, 20), (10, 70, 20, 90), (-20, 10, -10, 20)):
        top, left, inside = cut(*outside)
        assert inside.numel() == 0
        assert top <= 64
        assert left <= 64
