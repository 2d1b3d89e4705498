# SPDX-License-Identifier: Apache-2.0
import torch
from torch import nn

from shadowtutor_ros.teacher.yolo.modules import ImplicitA, Segment, SegmentationModel


def test_decoding_puts_boxes_where_the_anchors_say() -> None:
    head = Segment()
    head.nc, head.nm, head.na, head.no = 2, 4, 1, 11
    raw = torch.zeros(2, 11, 2, 3)
    raw[1, 2, 1, 2] = 100.0  # sigmoid 1: twice the anchor's width, squared
    boxes, scores, coefficients = head._decode(raw, torch.tensor([[4.0, 5.0]]), torch.tensor(8.0))
    assert boxes.shape == (2, 6, 4)
    assert boxes[0, 0].tolist() == boxes[1, 0].tolist() == [4.0, 4.0, 32.0, 40.0]
    assert boxes[0, 5].tolist() == [20.0, 12.0, 32.0, 40.0]
    assert boxes[1, 5].tolist() == [20.0, 12.0, 128.0, 40.0]
    assert scores.tolist() == [[[0.25, 0.25]] * 6] * 2
    assert coefficients.shape == (2, 6, 4)


def test_the_implicit_knowledge_of_yolov7_is_folded_into_the_heads() -> None:
    torch.manual_seed(0)
    head, added = Segment(), ImplicitA()
    added.implicit = torch.randn(1, 5, 1, 1)
    head.m, head.ia = nn.ModuleList([nn.Conv2d(5, 7, 1)]), nn.ModuleList([added])
    head.requires_grad_(False)
    picture = torch.randn(2, 5, 3, 4)
    expected = head.m[0](picture + added.implicit)
    head.fuse()
    torch.testing.assert_close(head.m[0](picture), expected)


def test_pictures_together_give_what_each_gives_alone(tiny: SegmentationModel) -> None:
    pictures = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    together = tiny(pictures)
    for index, picture in enumerate(pictures):
        for part, alone in zip(together, tiny(picture[None]), strict=True):
            torch.testing.assert_close(part[index:index + 1], alone)


def test_places_are_exact_where_the_convolutions_are_not(tiny: SegmentationModel) -> None:
    picture = torch.rand(1, 3, 64, 512, generator=torch.Generator().manual_seed(0))
    exact = tiny(picture).boxes[..., :2]
    for module in tiny.modules():
        if isinstance(module, nn.Conv2d):
            module.bfloat16()
    found = tiny(picture.bfloat16())
    assert {part.dtype for part in found} == {torch.float32}
    apart = (found.boxes[..., :2] - exact).abs()
    assert apart.median() < 0.1  # 500 is 500 or 502 in bfloat16
