# SPDX-License-Identifier: Apache-2.0
"""The table of weight encodings: a row is all that a new one needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.encodings import encoding_of, WEIGHT_ENCODINGS
from shadowtutor_ros.wire.errors import CorruptUpdate, StaleUpdate
from shadowtutor_ros.wire.update import StudentUpdate, verify_update
from shadowtutor_ros.wire.weights import encode_weights, EncodedWeights, FP32

RUNNING = {'a': torch.tensor([1.0, 2.0]), 'b': torch.tensor([[0.5]])}
TRAINED = {'a': torch.tensor([1.25, 2.0]), 'b': torch.tensor([[-0.5]])}


@pytest.mark.parametrize('name', WEIGHT_ENCODINGS)
def test_every_draft_is_decoded_by_its_own_row(name: str) -> None:
    drafts = list(WEIGHT_ENCODINGS[name].encode(TRAINED, RUNNING, {}, 1.0))
    assert drafts
    for weights in drafts:
        assert encoding_of(weights).name == weights.encoding == name
        decoded = encoding_of(weights).decode(weights, RUNNING)
        for key, tensor in TRAINED.items():
            torch.testing.assert_close(decoded[key], tensor, atol=0.05, rtol=0)


def test_what_is_sent_where_the_running_version_is_unknown_is_whole() -> None:
    for encoding in WEIGHT_ENCODINGS.values():
        assert not WEIGHT_ENCODINGS[encoding.intra].inter
        assert encoding.inter or encoding.intra == encoding.name


def test_an_unknown_encoding_is_corrupt() -> None:
    weights = replace(encode_weights(TRAINED, FP32), encoding='zip')
    with pytest.raises(CorruptUpdate, match="fp32, fp16, delta, delta-dct, got 'zip'"):
        encoding_of(weights)


class Halves:
    """Differences to half of what runs, for lack of anything better."""

    name = 'halves'
    inter = True
    intra = FP32

    def encode(
        self, tensors: Mapping[str, Tensor], running: Mapping[str, Tensor],
        residual: object, density: float,
    ) -> Iterator[EncodedWeights]:
        away = {name: tensor - running[name] / 2 for name, tensor in tensors.items()}
        yield replace(encode_weights(away, FP32), encoding=self.name)

    def decode(
        self, weights: EncodedWeights, running: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        away = WEIGHT_ENCODINGS[FP32].decode(replace(weights, encoding=FP32), running)
        return {name: tensor + running[name] / 2 for name, tensor in away.items()}


def test_a_new_encoding_is_one_class_and_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEIGHT_ENCODINGS, 'halves', Halves())
    student = Student.random(StudentInfo(tuple('abc')), 0)
    running = student.weights(PARTIAL)
    trained = {name: tensor + 0.25 for name, tensor in running.items()}
    weights = next(WEIGHT_ENCODINGS['halves'].encode(trained, running, {}, 1.0))
    update = StudentUpdate('robot', 1, 0, '', student.layout_hash, PARTIAL, 7, 3, 4, weights)
    decoded = verify_update(update, student, 7, 3)
    for name, tensor in trained.items():
        torch.testing.assert_close(decoded[name], tensor)
    with pytest.raises(StaleUpdate, match='is a difference to version 2'):
        verify_update(replace(update, base_version=2), student, 7, 3)
