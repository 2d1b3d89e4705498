# SPDX-License-Identifier: Apache-2.0
"""A student: reproducible, all-or-nothing in loading, strict about frames."""

from __future__ import annotations

from dataclasses import replace
import gc
from typing import Any
import weakref

import numpy as np
from numpy.typing import NDArray
import pytest
from small_net import SmallNet
import torch
from torch import Tensor

from shadowtutor_ros.frame import BadFrame, check_frame
from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.model.network import StudentNet
from shadowtutor_ros.model.protocol import SizeLimits
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import ARCHITECTURES, BadConfiguration, UnknownArchitecture
from shadowtutor_ros.tasks.segmentation.task import Segmentation
from shadowtutor_ros.tasks.table import TASKS, UnknownTask

INFO = StudentInfo(('cat', 'dog', 'background'))
LAYOUT_OF_CAT_AND_DOG = 8417647145824909547


def _frame(height: int = 20, width: int = 28, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _copy(student: Student) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in student.weights(FULL).items()}


def _same(student: Student, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(t, tensors[name]) for name, t in student.weights(FULL).items())


def test_random_students_are_reproducible() -> None:
    student = Student.random(INFO, 7)
    assert _same(Student.random(INFO, 7), _copy(student))
    assert not _same(Student.random(INFO, 8), _copy(student))


def test_random_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Student.random(INFO, 7)
    assert torch.equal(torch.rand(4), expected)


def test_network_must_have_the_named_classes() -> None:
    with pytest.raises(ValueError, match='4 classes'):
        Student(INFO, StudentNet(4))


@pytest.mark.parametrize('fields', [
    {'class_names': ()},
    {'class_names': ('x',) * 257},
    {'class_names': ('x',), 'mean': (1.0, 2.0)},
    {'class_names': ('x',), 'std': (1.0, 1.0, 1.0, 1.0)},
], ids=['no class', 'too many for uint8', 'mean', 'std'])
def test_impossible_info_is_refused(fields: dict[str, tuple[object, ...]]) -> None:
    with pytest.raises(ValueError, match='expected'):
        StudentInfo(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize('group', GROUPS)
def test_load_takes_a_whole_group(group: str) -> None:
    student, other = Student.random(INFO, 0), Student.random(INFO, 1)
    before, new = _copy(student), _copy(other)
    student.load(other.weights(group))
    loaded = other.weights(group).keys()
    assert _same(student, {name: (new if name in loaded else before)[name] for name in before})


def test_weights_are_live_and_need_no_gradient() -> None:
    student = Student.random(INFO, 0)
    mask = student.segment(_frame())
    bias = student.weights(PARTIAL)['out_conv3.bias']
    assert not bias.requires_grad
    bias.copy_(torch.tensor([0.0, 1e9, 0.0]))
    assert (student.segment(_frame()) == 1).all()
    assert (mask != 1).any()


@pytest.mark.parametrize(('name', 'shape', 'error'), [
    ('sb7.weight', (1,), KeyError),
    ('out_conv3.bias', (4,), ValueError),
    ('out_conv3.weight', (32, 3, 1, 1), ValueError),
    ('out_conv3.weight', (3, 32), ValueError),
    ('out_conv3.bias', (1,), ValueError),  # would broadcast
])
def test_load_changes_nothing_when_one_tensor_does_not_fit(
    name: str, shape: tuple[int, ...], error: type[Exception],
) -> None:
    student = Student.random(INFO, 0)
    before = _copy(student)
    tensors = _copy(Student.random(INFO, 1))
    tensors.pop(name, None)
    tensors[name] = torch.zeros(shape)  # last: the others would be in place already
    with pytest.raises(error, match=name):
        student.load(tensors)
    assert _same(student, before)


def test_clone_is_independent() -> None:
    student = Student.random(INFO, 0)
    before = _copy(student)
    clone = student.clone()
    assert clone.info == student.info
    assert _same(clone, before)
    clone.load(Student.random(INFO, 1).weights(FULL))
    assert _same(student, before)


def test_a_student_that_nobody_needs_is_gone_without_a_gc() -> None:
    """On a GPU, too, whose memory it has: there its answers are recorded."""
    student = Student.random(StudentInfo(('cat', 'background')), 0)
    student.device = torch.device('cuda')
    student.precision = torch.float32
    assert student._graph is not None
    gone = weakref.ref(student)
    gc.disable()
    try:
        del student
        assert gone() is None
    finally:
        gc.enable()


def test_layout_hash_is_stable_over_releases() -> None:
    """Robots and tutors of other releases compute the same."""
    info = StudentInfo(('cat', 'dog', 'background'), std=(1, 1, 1))  # type: ignore[arg-type]
    assert Student.random(info, 0).layout_hash == LAYOUT_OF_CAT_AND_DOG


def test_layout_hash_is_not_of_values_colours_or_the_device() -> None:
    painted = replace(INFO, class_colours=((1, 2, 3),) * 3)
    assert Student.random(INFO, 0).layout_hash == Student.random(painted, 1).layout_hash


@pytest.mark.parametrize('change', [
    {'class_names': ('cat', 'background')},
    {'class_names': ('cat', 'tram', 'background')},
    {'class_names': ('dog', 'cat', 'background')},
    {'mean': (103.53, 116.28, 123.0)},
    {'std': (1.0, 2.0, 1.0)},
    {'task': 'as it is'},
    {'architecture': 'small'},
    {'architecture': 'small', 'configuration': {'width': 5}},
    {'architecture': 'small', 'configuration': {'sharp': True}},
], ids=str)
def test_layout_hash_sees_every_difference(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any],
) -> None:
    monkeypatch.setitem(ARCHITECTURES, 'small', SmallNet)
    monkeypatch.setitem(TASKS, 'as it is', Segmentation())
    others = [INFO, StudentInfo(INFO.class_names, architecture='small')]
    changed = replace(INFO, **change)
    hashes = {Student.random(info, 0).layout_hash
              for info in [changed, *(other for other in others if other != changed)]}
    assert len(hashes) == 3 - (changed in others)
    assert all(0 <= number < 1 << 64 for number in hashes)


def test_a_configuration_is_the_same_in_any_order() -> None:
    one, two = (StudentInfo(INFO.class_names, configuration=values) for values in (
        {'width': 4, 'sharp': False}, {'sharp': False, 'width': 4}))
    assert one == two
    assert one.configuration_json == two.configuration_json == '{"sharp":false,"width":4}'


@pytest.mark.parametrize(('info', 'error', 'message'), [
    (replace(INFO, task='depth'), UnknownTask,
     "task: expected one of segmentation, detection, got 'depth'"),
    (replace(INFO, architecture='vit'), UnknownArchitecture,
     "architecture: expected one of shadowtutor, shadowtutor-boxes, got 'vit'"),
    (replace(INFO, configuration={'width': 4}), BadConfiguration,
     r"architecture 'shadowtutor': configuration \{'width': 4\}: .*'width'"),
])
def test_students_that_this_release_cannot_make(
    info: StudentInfo, error: type[Exception], message: str,
) -> None:
    with pytest.raises(error, match=message):
        Student.random(info, 0)


@pytest.mark.parametrize('configuration', [
    {'widths': 'x' * 5000}, {'widths': {1, 2}}], ids=['long', 'no JSON'])
def test_a_configuration_that_cannot_travel_is_refused(configuration: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=r'expected at most 4096|not JSON'):
        StudentInfo(INFO.class_names, configuration=configuration)


def test_prepare_normalises_blue_green_red() -> None:
    info = StudentInfo(('x',), mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    frame = np.array([[[10, 20, 30], [11, 24, 22]]], np.uint8)
    prepared = Student.random(info, 0).prepare(frame)
    assert prepared.shape == (1, 3, 1, 2)
    assert prepared[0, :, 0].T.tolist() == [[0, 0, 0], [1, 2, -2]]


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (32, 32), (33, 65)], ids=str)
def test_segment_is_the_argmax_of_the_logits(size: tuple[int, int]) -> None:
    student, frame = Student.random(INFO, 0), _frame(*size)
    with torch.no_grad():
        logits = student.network(student.prepare(frame))
    mask = student.segment(frame)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, logits[0].argmax(0).numpy())


def test_segment_takes_any_memory_layout() -> None:
    student, frame = Student.random(INFO, 0), _frame()
    flipped = frame[:, ::-1]
    assert not flipped.flags.c_contiguous
    assert np.array_equal(student.segment(flipped), student.segment(flipped.copy()))


@pytest.mark.parametrize('frame', [
    np.zeros((8, 8), np.uint8),
    np.zeros((8, 8, 1), np.uint8),
    np.zeros((8, 8, 4), np.uint8),
    np.zeros((8, 8, 3), np.float32),
    np.zeros((8, 8, 3), np.int8),
    np.zeros((8, 8, 3), np.uint16),
    np.zeros((0, 0, 3), np.uint8),
    np.zeros((0, 8, 3), np.uint8),
    np.zeros((8, 0, 3), np.uint8),
    np.zeros((1, 8, 8, 3), np.uint8),
], ids=lambda frame: f'{frame.dtype}{frame.shape}')
def test_other_arrays_are_refused(frame: NDArray[np.uint8]) -> None:
    student = Student.random(INFO, 0)
    for refuse in (check_frame, student.prepare, student.segment):
        with pytest.raises(BadFrame, match='expected a BGR uint8 image'):
            refuse(frame)


class PickyNet(SmallNet):
    """Halves twice, and needs something left to normalise."""

    limits = SizeLimits(least=8, multiple=4)


@pytest.mark.parametrize('size', [(8, 4), (4, 8), (8, 10), (18, 8), (9, 9)], ids=str)
def test_sizes_that_the_network_cannot_take_are_refused(size: tuple[int, int]) -> None:
    student = Student(INFO, PickyNet(3))
    assert student.segment(_frame(8, 12)).shape == (8, 12)
    for refuse in (student.check, student.prepare, student.segment):
        with pytest.raises(BadFrame, match='expected a height and width of 8 or more and '
                                           f'multiples of 4, got {size[0]} x {size[1]}'):
            refuse(_frame(*size))
