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

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.stream import Stream
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.delta import DELTA_DCT
from shadowtutor_ros.wire.encoder import Draft, Encoder, exact, WeightSettings
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.errors import StaleUpdate
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate, verify_update
from shadowtutor_ros.wire.weights import decode_weights, FP16, FP32

INFO = StudentInfo(('cat', 'background'))
RNG = np.random.default_rng(3)
FRAMES = RNG.integers(0, 256, (4, 16, 24, 3), dtype=np.uint8)
WEIGHTS = {'w': torch.linspace(-1, 1, 2**14)}  # large enough for coarse steps


def _learnt(step: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {'w': WEIGHTS['w'] + 0.01 * torch.randn(2**14, generator=generator)}


def _shortest(encoder: Encoder, tensors: Mapping[str, torch.Tensor], base: int | None) -> Draft:
    return next(encoder.drafts(tensors, base))


def _send(encoder: Encoder, tensors: Mapping[str, torch.Tensor], version: int, base: int) -> Draft:
    """Send the shortest draft to a robot that runs ``base``."""
    draft = _shortest(encoder, tensors, base)
    encoder.sent(draft, version, draft.decoded, base)
    return draft


def test_an_unknown_version_gets_every_weight() -> None:
    encoder = Encoder(WeightSettings())
    assert _shortest(encoder, WEIGHTS, None).weights.encoding == FP16
    encoder.keep(4, WEIGHTS)
    assert _shortest(encoder, _learnt(1), 3).weights.encoding == FP16
    assert _shortest(encoder, _learnt(1), 4).weights.encoding == DELTA_DCT


def test_the_robots_version_stays_known_while_answers_are_lost() -> None:
    encoder = Encoder(WeightSettings())
    encoder.keep(1, WEIGHTS)
    for version in (2, 3, 4):
        assert _send(encoder, _learnt(version), version, 1).weights.encoding == DELTA_DCT
    assert _shortest(encoder, _learnt(5), 4).weights.encoding == DELTA_DCT
    encoder.keep(5, WEIGHTS, 4)
    assert _shortest(encoder, _learnt(6), 1).weights.encoding == FP16


@pytest.mark.parametrize('encoding', ['fp32', 'fp16'])
def test_floats_are_sent_whole(encoding: str) -> None:
    encoder = Encoder(WeightSettings(encoding))
    encoder.keep(1, WEIGHTS)
    assert _shortest(encoder, _learnt(1), 1).weights.encoding == encoding


def test_every_so_many_updates_one_is_whole() -> None:
    encoder = Encoder(WeightSettings(intra_period=3))
    encoder.keep(0, WEIGHTS)
    sent = []
    for version in range(1, 8):
        sent.append(_send(encoder, _learnt(version), version, version - 1).weights.encoding)
    assert sent == [DELTA_DCT, DELTA_DCT, FP16, DELTA_DCT, DELTA_DCT, FP16, DELTA_DCT]


@pytest.mark.parametrize('density', [1.0, 0.2])
def test_nothing_is_lost_over_time(density: float) -> None:
    """The sum of what was sent follows the sum of what was learnt; without residual it drifts."""
    encoder = Encoder(WeightSettings(density=density))
    running: Mapping[str, torch.Tensor] = {'w': torch.zeros(256)}
    encoder.keep(0, running)
    generator = torch.Generator().manual_seed(0)
    slope = torch.rand(256, generator=generator)
    total = torch.zeros(256)
    scale = largest = 0.0
    for version in range(1, 201):
        change = 0.01 * slope + 0.001 * torch.randn(256, generator=generator)
        total += change
        draft = _send(encoder, {'w': running['w'] + change}, version, version - 1)
        running = draft.decoded
        scale = max(scale, draft.weights.tensors[0].scale)
        largest = max(largest, float(change.abs().max()))
    error = (running['w'] - total).abs()
    assert error.max() < 10 * largest if density < 1.0 else error.max() <= 0.51 * scale
    assert total.abs().mean() > 100 * scale


def test_a_whole_update_leaves_nothing_to_make_up_for() -> None:
    """What earlier differences lost is in the whole update: adding it again would be an error."""
    encoder = Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    running = _send(encoder, _learnt(1), 1, 0).decoded
    encoder.sent(_shortest(encoder, _learnt(2), None), 2, WEIGHTS, None)
    fresh = Encoder(WeightSettings())
    fresh.keep(2, WEIGHTS)
    assert not torch.equal(running['w'], _learnt(1)['w'])
    assert (_shortest(encoder, _learnt(3), 2).weights
            == _shortest(fresh, _learnt(3), 2).weights)


def test_another_student_owes_nothing_of_what_the_one_before_left_out() -> None:
    encoder, fresh = Encoder(WeightSettings()), Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    running = _send(encoder, _learnt(1), 1, 0).decoded
    fresh.keep(1, running)
    owed = _shortest(encoder, _learnt(2), 1).weights
    encoder.begin_anew()
    assert (_shortest(encoder, _learnt(2), 1).weights
            == _shortest(fresh, _learnt(2), 1).weights != owed)


def test_drafts_that_are_not_sent_leave_nothing_behind() -> None:
    encoder = Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    first = [draft.weights for draft in encoder.drafts(_learnt(1), 0)]
    assert [draft.weights for draft in encoder.drafts(_learnt(1), 0)] == first


@pytest.mark.parametrize('period', [0, 3])
def test_an_encoder_goes_on_from_its_snapshot(period: int) -> None:
    settings = WeightSettings(intra_period=period)
    encoder, restored = Encoder(settings), Encoder(settings)
    encoder.keep(0, WEIGHTS)
    for version in (1, 2):
        _send(encoder, _learnt(version), version, version - 1)
    shapes = {'w': tuple(WEIGHTS['w'].shape)}
    restored.restore(encoder.snapshot(), encoder.versions, shapes)
    for base in (0, 1, 2):
        assert (_shortest(restored, _learnt(3), base).weights
                == _shortest(encoder, _learnt(3), base).weights)
    assert _shortest(restored, _learnt(3), 2).weights.encoding == (FP16 if period else DELTA_DCT)
    assert restored.versions.keys() == {1, 2}


def test_an_encoder_of_floats_takes_over_nothing() -> None:
    encoder, restored = Encoder(WeightSettings()), Encoder(WeightSettings('fp16'))
    encoder.keep(0, WEIGHTS)
    _send(encoder, _learnt(1), 1, 0)
    restored.restore(encoder.snapshot(), encoder.versions, {'w': (2**14,)})
    assert not restored.versions
    assert not any(name.startswith('residual') for name in restored.snapshot())


def test_every_draft_has_finer_steps_than_the_one_before() -> None:
    encoder = Encoder(WeightSettings())
    encoder.keep(0, WEIGHTS)
    trained = _learnt(1)
    *drafts, whole = encoder.drafts(trained, 0)
    assert all(draft.inter for draft in drafts)
    assert (whole.inter, whole.weights.encoding) == (False, FP16)
    scales = [draft.weights.tensors[0].scale for draft in drafts]
    unit = scales[3]
    assert scales == pytest.approx([4 * unit, 2.8 * unit, 2 * unit, unit, unit / 2, unit / 4])
    errors = [float((draft.decoded['w'] - trained['w']).abs().max()) for draft in drafts]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(('tensor', 'encoding'), [
    (torch.tensor([0.5, -2.0, 0.0]), FP16), (torch.tensor([0.1]), FP32),
    (torch.tensor([1e6]), FP32)])
def test_exact_loses_nothing_in_as_few_bytes(tensor: torch.Tensor, encoding: str) -> None:
    weights = exact({'w': tensor})
    assert weights.encoding == encoding
    assert torch.equal(decode_weights(weights, {'w': tuple(tensor.shape)})['w'], tensor)


@pytest.mark.parametrize(('settings', 'message'), [
    ({'encoding': 'int8'},
     "weight_encoding: expected one of fp32, fp16, delta, delta-dct, got 'int8'"),
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
            tensors = verify_update(update, self.student, self.session_id, self.version)
        except StaleUpdate:
            return False
        self.student.load(tensors)
        self.session_id, self.version = update.session_id, update.version
        return True


def _assert_same(robot: _Robot, stream: Stream) -> None:
    theirs = stream._state.weights(FULL)
    for name, tensor in robot.student.weights(FULL).items():
        assert tensor.numpy().tobytes() == theirs[name].contiguous().numpy().tobytes(), name


def _tutor(settings: WeightSettings, cold_start_group: str) -> Tutor:
    distill = DistillSettings.plain(threshold=0.7, max_updates=1, cold_start_updates=2,
                              cold_start_group=cold_start_group)
    return Tutor(_RandomTeacher(), Student.random(INFO, 0), TutorSettings(distill, settings))


def _join(tutor: Tutor) -> _Robot:
    first = tutor.first_student('robot')
    return _Robot(student_from_update(first, INFO), first.session_id, first.version)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32), encoding=st.sampled_from(list(WEIGHT_ENCODINGS)),
       density=st.sampled_from([1.0, 0.1]), intra_period=st.sampled_from([0, 3]),
       cold_start_group=st.sampled_from([PARTIAL, FULL]),
       events=st.lists(st.sampled_from(
           ['good', 'good', 'lost', 'late', 'twice', 'cancelled', 'robot restarts',
            'robot forgets', 'tutor restarts', 'tutor goes on', 'tutor goes on'],
       ), min_size=4, max_size=14))
def test_every_applied_update_leaves_both_with_the_same_bits(
    seed: int, encoding: str, density: float, intra_period: int, cold_start_group: str,
    events: list[str],
) -> None:
    """
    Loss, reordering, duplication, a cancelled lesson, a restart of either side.

    A tutor that goes on does so from a state that is some lessons old. No two students have one
    version.
    """
    chance = random.Random(seed)
    kept: list[Snapshot] = []
    given: dict[tuple[int, int], bytes] = {}
    make = WeightSettings(encoding, density, intra_period)
    tutor = _tutor(make, cold_start_group)
    robot = _join(tutor)
    late: list[StudentUpdate] = []
    applied = 0
    for sequence, event in enumerate([*events, 'good', 'good'], 1):
        if event == 'tutor restarts':
            tutor = _tutor(make, cold_start_group)
            kept.clear()
        elif event == 'tutor goes on' and kept:
            tutor = _tutor(make, cold_start_group)
            snapshot = chance.choice(kept[-3:])
            tutor._streams['robot'] = Stream.restored('robot', tutor._first, make, snapshot)
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
        stream = tutor._streams['robot']
        whole = stream.whole()
        assert whole.version == update.version
        assert given.setdefault(
            (update.session_id, update.version), whole.weights.payload) == whole.weights.payload
        kept.append(stream.snapshot())
        for old in late:  # what was overtaken arrives before the newer one
            robot.apply(old)
        late = [update] if event == 'late' else []
        if event in ('lost', 'late'):
            continue
        if robot.apply(update):
            applied += 1
            _assert_same(robot, stream)
        if event == 'twice':
            assert not robot.apply(update)
    assert applied >= 1
    _assert_same(robot, tutor._streams['robot'])
