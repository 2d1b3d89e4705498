# SPDX-License-Identifier: Apache-2.0
"""Weight encodings as a table: another one is one class and one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from torch import Tensor

from shadowtutor_ros.model.groups import shapes_of
from shadowtutor_ros.wire.dct import Array
from shadowtutor_ros.wire.delta import (
    COARSE,
    COARSE_DCT,
    decode_delta,
    DELTA,
    DELTA_DCT,
    encode_delta,
)
from shadowtutor_ros.wire.errors import CorruptUpdate
from shadowtutor_ros.wire.weights import decode_weights, encode_weights, EncodedWeights, FP16, FP32

# What coarse steps lose is sent with the next update. But a student that has just learnt to call
# everything background may lose that to the coarsest.
_FINER = (4.0, 2.8, 2.0, 1.0, 0.5, 0.25)


class WeightEncoding(Protocol):
    """
    One way in which named tensors travel.

    ``inter``, as in video: what is sent are differences to the version that the robot runs.
    Where that is unknown ``intra``, the name of another encoding, is sent instead.
    """

    name: str
    inter: bool
    intra: str

    def encode(
        self, tensors: Mapping[str, Tensor], running: Mapping[str, Tensor],
        residual: Mapping[str, Array], density: float,
    ) -> Iterator[EncodedWeights]:
        """
        Yield ways to send ``tensors``, the shortest first; raise NonFiniteUpdate.

        ``running`` are the robot's, ``residual`` what earlier updates left out and ``density``
        (0-1] the share that may be sent; all three matter to ``inter`` only.
        """

    def decode(
        self, weights: EncodedWeights, running: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return fp32 tensors of exactly the names and shapes of ``running``; raise BadUpdate."""


class Floats:
    """Every weight as a float: ``name`` is fp32, bit for bit, or fp16."""

    inter = False

    def __init__(self, name: str) -> None:
        self.name = self.intra = name

    def encode(
        self, tensors: Mapping[str, Tensor], running: Mapping[str, Tensor],
        residual: Mapping[str, Array], density: float,
    ) -> Iterator[EncodedWeights]:
        yield encode_weights(tensors, self.name)

    def decode(
        self, weights: EncodedWeights, running: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        return decode_weights(weights, shapes_of(running))


class Differences:
    """Differences as int8 in steps that are coarse, then finer: DELTA or DELTA_DCT."""

    inter = True
    intra = FP16

    def __init__(self, name: str, coarse: float) -> None:
        self.name = name
        self._coarse = coarse

    def encode(
        self, tensors: Mapping[str, Tensor], running: Mapping[str, Tensor],
        residual: Mapping[str, Array], density: float,
    ) -> Iterator[EncodedWeights]:
        for finer in _FINER:
            yield encode_delta(
                running, tensors, residual, density, self._coarse * finer, self.name)

    def decode(
        self, weights: EncodedWeights, running: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        return decode_delta(weights, running)


WEIGHT_ENCODINGS: Mapping[str, WeightEncoding] = {
    FP32: Floats(FP32), FP16: Floats(FP16), DELTA: Differences(DELTA, COARSE),
    DELTA_DCT: Differences(DELTA_DCT, COARSE_DCT)}


def encoding_of(weights: EncodedWeights) -> WeightEncoding:
    """Return what ``weights`` is encoded in; raise CorruptUpdate when nobody knows."""
    try:
        return WEIGHT_ENCODINGS[weights.encoding]
    except KeyError:
        raise CorruptUpdate(f'weight encoding: expected one of {", ".join(WEIGHT_ENCODINGS)}, '
                            f'got {weights.encoding!r}') from None
