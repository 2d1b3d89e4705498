# SPDX-License-Identifier: Apache-2.0
"""An update is applied only to the weights that it was made for."""

from __future__ import annotations

from dataclasses import replace
import math
import zlib

import pytest
import torch

from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.schedule.load import MAX_STRIDE_FLOOR
from shadowtutor_ros.wire.delta import encode_delta
from shadowtutor_ros.wire.errors import (
    BadUpdate,
    CorruptUpdate,
    LayoutMismatch,
    NonFiniteUpdate,
    StaleUpdate,
)
from shadowtutor_ros.wire.update import StudentUpdate, verify_update
from shadowtutor_ros.wire.weights import encode_weights, FP32

INFO = StudentInfo(('cat', 'dog', 'background'))
RUNNING = Student.random(INFO, 0)
TAUGHT = Student.random(INFO, 1)  # other values
TENSORS = {group: TAUGHT.weights(group) for group in GROUPS}
SESSION, VERSION = 77, 5


def _update(group: str = PARTIAL, **changes: object) -> StudentUpdate:
    update = StudentUpdate(
        stream_id='robot', sequence=9, stamp=0, frame_id='', layout_hash=TAUGHT.layout_hash,
        group=group, session_id=SESSION, base_version=0 if group == FULL else 3,
        version=VERSION + 1, weights=encode_weights(TENSORS[group], FP32))
    return replace(update, **changes)  # type: ignore[arg-type]


def _verify(
    update: StudentUpdate, session_id: int = SESSION, version: int = VERSION,
) -> dict[str, torch.Tensor]:
    return verify_update(update, RUNNING, session_id, version)


@pytest.mark.parametrize('update', [
    _update(),
    _update(base_version=VERSION),  # builds on exactly ours
    _update(base_version=0),
    _update(version=VERSION + 100),  # updates in between were lost
    _update(stride_floor=MAX_STRIDE_FLOOR),
    _update(FULL),
    _update(FULL, base_version=VERSION),
    _update(FULL, session_id=SESSION + 1, version=0),  # a tutor that started anew
    _update(FULL, session_id=SESSION + 1, version=VERSION),
], ids=['next', 'base is ours', 'base is first', 'later', 'floor', 'full', 'full on ours',
        'resync to 0', 'resync to ours'])
def test_fitting_update_is_decoded(update: StudentUpdate) -> None:
    tensors = _verify(update)
    assert list(tensors) == list(TENSORS[update.group])
    assert all(torch.equal(t, TENSORS[update.group][name]) for name, t in tensors.items())


def test_first_student_is_accepted_without_a_session() -> None:
    tensors = _verify(_update(FULL, version=0), session_id=0, version=0)
    assert tensors.keys() == TENSORS[FULL].keys()


@pytest.mark.parametrize(('update', 'error', 'message'), [
    (_update(version=VERSION), StaleUpdate, 'version above 5, got 5'),
    (_update(version=VERSION - 1), StaleUpdate, 'version above 5, got 4'),
    (_update(version=0), StaleUpdate, 'version above 5, got 0'),
    (_update(FULL, version=VERSION), StaleUpdate, 'version above 5, got 5'),
    (_update(session_id=SESSION + 1), StaleUpdate, 'without the whole student'),
    (_update(session_id=SESSION + 1, base_version=0), StaleUpdate, 'without the whole student'),
    (_update(FULL, session_id=SESSION + 1, base_version=1), StaleUpdate,
     'without the whole student'),
    (_update(session_id=0), StaleUpdate, 'without the whole student'),
    (_update(base_version=VERSION + 1), StaleUpdate, 'builds on version 6 or later'),
    (_update(FULL, base_version=VERSION + 1), StaleUpdate, 'builds on version 6 or later'),
    (_update(layout_hash=TAUGHT.layout_hash ^ 1), LayoutMismatch, 'expected layout'),
    (_update(FULL, layout_hash=0), LayoutMismatch, 'expected layout'),
    (_update(group=PARTIAL, weights=encode_weights(TENSORS[FULL], FP32)), LayoutMismatch,
     'expected 26 tensors, got 68'),
    (_update(FULL, weights=encode_weights(TENSORS[PARTIAL], FP32)), LayoutMismatch,
     'expected 68 tensors, got 26'),
    (replace(_update(), group='front'), LayoutMismatch, 'parameter group'),
    (replace(_update(), group=''), LayoutMismatch, 'parameter group'),
    (_update(weights=replace(_update().weights, crc32=1)), CorruptUpdate, 'CRC-32'),
    (_update(stride_floor=2**32 - 1), CorruptUpdate,
     f'stride_floor: expected 0 to {MAX_STRIDE_FLOOR} frames, got {2**32 - 1}'),
    (_update(stride_floor=-1), CorruptUpdate, 'got -1'),
], ids=lambda value: None if isinstance(value, StudentUpdate) else str(value))
def test_other_update_is_refused(
    update: StudentUpdate, error: type[BadUpdate], message: str,
) -> None:
    with pytest.raises(error, match=message):
        _verify(update)


@pytest.mark.parametrize('other', [
    replace(INFO, class_names=('cat', 'tram', 'background')),
    replace(INFO, mean=(0.0, 0.0, 0.0)),
], ids=['classes', 'normalisation'])
@pytest.mark.parametrize('group', GROUPS)
def test_weights_of_the_same_shapes_that_mean_something_else_are_refused(
    group: str, other: StudentInfo,
) -> None:
    update = _update(group, layout_hash=Student.random(other, 1).layout_hash)
    with pytest.raises(LayoutMismatch, match=r'another student, .* classes or normalisation'):
        _verify(update)


@pytest.mark.parametrize('group', [PARTIAL, FULL])
def test_a_difference_fits_only_the_weights_that_it_is_to(group: str) -> None:
    def difference(**changes: object) -> StudentUpdate:
        weights = encode_delta(RUNNING.weights(group), TENSORS[group], {})
        return _update(group, weights=weights, **{'base_version': VERSION, **changes})

    assert _verify(difference()).keys() == TENSORS[group].keys()
    for base in (0, VERSION - 1, VERSION + 1):
        with pytest.raises(StaleUpdate):
            _verify(difference(base_version=base))
    for base in (0, VERSION):
        with pytest.raises(StaleUpdate, match='without the whole student'):
            _verify(difference(base_version=base, session_id=SESSION + 1))
    with pytest.raises(StaleUpdate, match='without the whole student'):
        _verify(difference(base_version=0), session_id=0, version=0)


@pytest.mark.parametrize('group', [PARTIAL, FULL])
def test_weights_that_are_not_finite_are_refused(group: str) -> None:
    weights = encode_weights(TENSORS[group], FP32)
    payload = weights.payload[:-4] + torch.tensor([math.nan]).numpy().tobytes()
    with pytest.raises(NonFiniteUpdate):
        _verify(_update(group, weights=replace(
            weights, payload=payload, crc32=zlib.crc32(payload))))


def test_an_update_is_accepted_once() -> None:
    update = _update()
    _verify(update)
    with pytest.raises(StaleUpdate):
        _verify(update, version=update.version)
