# SPDX-License-Identifier: Apache-2.0
"""Updates of one stream: inter against what its robot runs, intra where that is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from shadowtutor_ros.model.groups import shapes_of
from shadowtutor_ros.wire.delta import (
    Array,
    as_array,
    COARSE,
    decode_delta,
    DELTA,
    encode_delta,
)
from shadowtutor_ros.wire.errors import NonFiniteUpdate
from shadowtutor_ros.wire.weights import decode_weights, encode_weights, EncodedWeights, FP16, FP32

ENCODINGS = (FP32, FP16, DELTA)

# What coarse steps lose is sent with the next update. But a student that has just learnt to call
# everything background may lose that to the coarsest.
_STEPS = (COARSE, COARSE / 2, COARSE / 4)

@dataclass(frozen=True)
class WeightSettings:
    """
    How weights travel.

    ``encoding`` fp32 and fp16 send every weight; delta sends differences where it can, else
    fp16. ``density`` (0-1] is the share of differences that is sent. With ``intra_period`` > 0
    every so many updates one is whole.
    """

    encoding: str = DELTA
    density: float = 1.0
    intra_period: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f'weight_encoding: expected one of {", ".join(ENCODINGS)}, '
                             f'got {self.encoding!r}')
        if not 0.0 < self.density <= 1.0:
            raise ValueError(f'update_density: expected a number in (0, 1], got {self.density}')
        if self.intra_period < 0:
            raise ValueError(f'intra_period: expected 0 or more, got {self.intra_period}')


@dataclass(frozen=True)
class Draft:
    """One way to send ``tensors``: as they travel, and as the robot would have them."""

    tensors: Mapping[str, Tensor]
    weights: EncodedWeights
    decoded: Mapping[str, Tensor]

    @property
    def inter(self) -> bool:
        """Say whether it is a difference to what the robot runs."""
        return self.weights.encoding == DELTA


def intra(tensors: Mapping[str, Tensor], settings: WeightSettings) -> Draft:
    """Return ``tensors`` as floats, as ``settings`` says; raise NonFiniteUpdate."""
    weights = encode_weights(tensors, FP16 if settings.encoding == DELTA else settings.encoding)
    return Draft(tensors, weights, decode_weights(weights, shapes_of(tensors)))


def exact(tensors: Mapping[str, Tensor]) -> EncodedWeights:
    """Return ``tensors`` in the shortest floats that lose nothing; raise NonFiniteUpdate."""
    with suppress(NonFiniteUpdate):
        weights = encode_weights(tensors, FP16)
        decoded = decode_weights(weights, shapes_of(tensors))
        if all(torch.equal(decoded[name], tensor.cpu()) for name, tensor in tensors.items()):
            return weights
    return encode_weights(tensors, FP32)


class Encoder:
    """
    Encodes one stream's updates; knows the weights of every version that its robot may run.

    A robot runs the version that it names with a key frame until the answer to that key frame
    is applied, whether earlier answers arrived or not.
    """

    def __init__(self, settings: WeightSettings) -> None:
        self._settings = settings
        self._versions: dict[int, Mapping[str, Tensor]] = {}
        self._residual: dict[str, Array] = {}
        self._since_intra = 0

    def drafts(self, tensors: Mapping[str, Tensor], base: int | None) -> Iterator[Draft]:
        """
        Yield ways to send ``tensors``, the shortest first; nothing is noted yet.

        ``base`` is the version that the robot runs, None where that is unknown. Raise
        NonFiniteUpdate.
        """
        settings = self._settings
        running = None if base is None else self._versions.get(base)
        due = settings.intra_period and self._since_intra + 1 >= settings.intra_period
        if settings.encoding != DELTA or running is None or due:
            yield intra(tensors, settings)
            return
        running = {name: running[name] for name in tensors}
        for step in _STEPS:
            weights = encode_delta(running, tensors, self._residual, settings.density, step)
            yield Draft(tensors, weights, decode_delta(weights, running))

    def sent(
        self, draft: Draft, version: int, weights: Mapping[str, Tensor], base: int | None,
    ) -> None:
        """
        Note that ``draft`` goes to a robot that runs ``base`` and then has ``version``.

        ``weights`` is that version's whole student, which nobody changes any more.
        """
        for name, tensor in draft.tensors.items():
            if draft.inter:
                left = as_array(tensor) - as_array(draft.decoded[name])
                self._residual[name] = left + self._residual.get(name, 0.0)
            else:
                self._residual.pop(name, None)
        self._since_intra = self._since_intra + 1 if draft.inter else 0
        self.keep(version, weights, base)

    def keep(self, version: int, weights: Mapping[str, Tensor], base: int | None = None) -> None:
        """Know the whole weights of ``version`` and of ``base``, and of no other."""
        if self._settings.encoding == DELTA:
            self._versions = {v: w for v, w in self._versions.items() if v == base}
            self._versions[version] = weights
