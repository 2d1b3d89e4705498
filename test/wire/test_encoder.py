# SPDX-License-Identifier: Apache-2.0
"""Tutor and robot hold the same bits, whatever the network does to the updates."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
import random

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.session import Session
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.encoder import Encoder, ENCODINGS, WeightSettings
from shadowtutor_ros.wire.errors import StaleUpdate
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate, verify_update
from shadowtutor_ros.wire.weights import FP16

INFO = StudentInfo(('cat', 'background'))
RNG = np.random.default_rng(3)
FRAMES = RNG.integers(0, 256, (4, 16, 24, 3), dtype=np.uint8)
WEIGHTS = {'w': torch.linspace(-1, 1, 2**14)}  # large enough for coarse steps


def _learnt(step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {'w': WEIGHTS['w'] + 0.01 * torch.randn(2**14, generator=generator)}


def _keep_all(encoder: Encoder, version: int, weights: dict[str, torch.Tensor]) -> None:
    encoder.keep(version, weights, version - 1)


def test_an_unknown_version_gets_every_weight() -> None:
    encoder = Encoder(WeightSettings())
    assert encoder.encode(WEIGHTS, None)[0].encoding == FP16
    encoder.keep(4, WEIGHTS)
    assert encoder.encode(_learnt(1), 3)[0].encoding == FP16
    assert encoder.encode(_learnt(1), 4)[0].encoding == DELTA


def test_the_robots_version_stays_known_while_answers_are_lost() -> None:
    encoder = Encoder(WeightSettings())
    encoder.keep(1, WEIGHTS)
    for version in (2, 3, 4):
        weights, decoded = encoder.encode(_learnt(version), 1)
        assert weights.encoding == DELTA
        encoder.keep(version, decoded, 1)
    assert encoder.encode(_learnt(5), 4)[0].encoding == DELTA
    encoder.keep(5, WEIGHTS, 4)
    assert encoder.encode(_learnt(6), 1)[0].encoding == FP16


@pytest.mark.parametrize('encoding', ['fp32', 'fp16'])
def test_floats_are_sent_whole(encoding: str) -> None:
    encoder = Encoder(WeightSettings(encoding))
    encoder.keep(1, WEIGHTS)
    assert encoder.encode(_learnt(1), 1)[0].encoding == encoding


def test_every_so_many_updates_one_is_whole() -> None:
    encoder = Encoder(WeightSettings(intra_period=3))
    encoder.keep(0, WEIGHTS)
    sent = []
    for version in range(1, 8):
        weights, decoded = encoder.encode(_learnt(version), version - 1)
        _keep_all(encoder, version, decoded)
        sent.append(weights.encoding)
    assert sent == [DELTA, DELTA, FP16, DELTA, DELTA, FP16, DELTA]


@pytest.mark.parametrize('density', [1.0, 0.2])
def test_nothing_is_lost_over_time(density: float) -> None:
    """The sum of what was sent follows the sum of what was learnt; without residual it drifts."""
    encoder = Encoder(WeightSettings(density=density))
    running = {'w': torch.zeros(256)}
    encoder.keep(0, running)
    generator = torch.Generator().manual_seed(0)
    slope = torch.rand(256, generator=generator)
    total = torch.zeros(256)
    scale = largest = 0.0
    for version in range(1, 201):
        change = 0.01 * slope + 0.001 * torch.randn(256, generator=generator)
        total += change
        weights, running = encoder.encode({'w': running['w'] + change}, version - 1)
        _keep_all(encoder, version, running)
        scale = max(scale, weights.tensors[0].scale)
        largest = max(largest, float(change.abs().max()))
    error = (running['w'] - total).abs()
    assert error.max() < 10 * largest if density < 1.0 else error.max() <= 0.51 * scale
    assert total.abs().mean() > 100 * scale


def test_a_whole_update_leaves_nothing_to_make_up_for() -> None:
    """What earlier differences lost is in the whole update: adding it again would be an error."""
    encoder = Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    _, running = encoder.encode(_learnt(1), 0)
    encoder.encode(_learnt(2), None)
    encoder.keep(2, WEIGHTS)
    fresh = Encoder(WeightSettings())
    fresh.keep(2, WEIGHTS)
    assert not torch.equal(running['w'], _learnt(1)['w'])
    assert encoder.encode(_learnt(3), 2)[0] == fresh.encode(_learnt(3), 2)[0]


@pytest.mark.parametrize('good', [1, 2, 3, 9])
def test_steps_are_halved_until_the_robots_student_is_good_enough(good: int) -> None:
    encoder = Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    trained, offered = _learnt(1), []

    def good_enough(decoded: Mapping[str, torch.Tensor]) -> bool:
        offered.append(decoded)
        return len(offered) == good

    weights, decoded = encoder.encode(trained, 0, good_enough)
    assert len(offered) == min(good, 3)
    assert decoded is offered[-1]
    coarsest = Encoder(WeightSettings())
    coarsest.keep(0, WEIGHTS)
    scale = coarsest.encode(trained, 0)[0].tensors[0].scale
    assert weights.tensors[0].scale == pytest.approx(scale / 2 ** (len(offered) - 1))
    errors = [float((tensors['w'] - trained['w']).abs().max()) for tensors in offered]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(('settings', 'message'), [
    ({'encoding': 'int8'}, "weight_encoding: expected one of fp32, fp16, delta, got 'int8'"),
    ({'density': 0.0}, 'update_density: expected'), ({'density': 1.5}, 'update_density: expected'),
    ({'intra_period': -1}, 'intra_period: expected 0 or more, got -1')])
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightSettings(**settings)  # type: ignore[arg-type]


# -- the whole protocol ------------------------------------------------------------------------


class _RandomTeacher:
    """Labels that leave something to learn with every key frame."""

    name, version = 'random', '1'

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        label = (frame[..., int(stamp) % 3] > 128).astype(np.uint8)
        return Labelling(label, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass
class _Robot:
    student: Student
    session_id: int
    version: int

    def apply(self, update: StudentUpdate) -> bool:
        try:
            tensors = verify_update(update, self.student.weights, self.session_id, self.version)
        except StaleUpdate:
            return False
        self.student.load(tensors)
        self.session_id, self.version = update.session_id, update.version
        return True


def _assert_same(robot: _Robot, session: Session) -> None:
    theirs = session.student.weights(FULL)
    for name, tensor in robot.student.weights(FULL).items():
        assert tensor.numpy().tobytes() == theirs[name].contiguous().numpy().tobytes(), name


def _tutor(settings: WeightSettings, cold_start_group: str) -> Tutor:
    distill = DistillSettings(threshold=0.7, max_updates=1, cold_start_updates=2,
                              cold_start_group=cold_start_group)
    return Tutor(_RandomTeacher(), Student.random(INFO, 0), TutorSettings(distill, settings))


def _join(tutor: Tutor) -> _Robot:
    first = tutor.first_student('robot')
    return _Robot(student_from_update(first, INFO), first.session_id, first.version)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32), encoding=st.sampled_from(ENCODINGS),
       density=st.sampled_from([1.0, 0.1]), intra_period=st.sampled_from([0, 3]),
       cold_start_group=st.sampled_from([PARTIAL, FULL]),
       events=st.lists(st.sampled_from(
           ['good', 'good', 'lost', 'late', 'twice', 'cancelled', 'robot restarts',
            'robot forgets', 'tutor restarts']), min_size=4, max_size=14))
def test_every_applied_update_leaves_both_with_the_same_bits(
    seed: int, encoding: str, density: float, intra_period: int, cold_start_group: str,
    events: list[str],
) -> None:
    """Loss, reordering, duplication, a cancelled lesson, a restart of either side."""
    chance = random.Random(seed)
    make = WeightSettings(encoding, density, intra_period)
    tutor = _tutor(make, cold_start_group)
    robot = _join(tutor)
    late: list[StudentUpdate] = []
    applied = 0
    for sequence, event in enumerate([*events, 'good', 'good'], 1):
        if event == 'tutor restarts':
            tutor = _tutor(make, cold_start_group)
        elif event == 'robot restarts':
            robot = _join(tutor)
        elif event == 'robot forgets':  # starts from a checkpoint
            robot = _Robot(Student.random(INFO, 5), 0, 0)
        key_frame = KeyFrame('robot', sequence, robot.session_id, robot.version,
                             chance.randrange(4) * 10**9, '',
                             encode_frame(FRAMES[chance.randrange(4)], 'png'))
        if event == 'cancelled':
            def cancel(progress: object) -> None:
                if getattr(progress, 'step', 0):
                    raise InterruptedError
            with suppress(InterruptedError):
                tutor.distill(key_frame, cancel)
            continue
        update = tutor.distill(key_frame)
        for old in late:  # what was overtaken arrives before the newer one
            robot.apply(old)
        late = [update] if event == 'late' else []
        if event in ('lost', 'late'):
            continue
        if robot.apply(update):
            applied += 1
            _assert_same(robot, tutor._streams['robot'].session)
        if event == 'twice':
            assert not robot.apply(update)
    assert applied >= 1
    _assert_same(robot, tutor._streams['robot'].session)
