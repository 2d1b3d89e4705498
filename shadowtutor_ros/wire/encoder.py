# SPDX-License-Identifier: Apache-2.0
"""Updates of one stream: inter against what its robot runs, intra where that is unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
from shadowtutor_ros.wire.weights import decode_weights, encode_weights, EncodedWeights, FP16, FP32

ENCODINGS = (FP32, FP16, DELTA)

# What coarse steps lose is sent with the next update. But a student that has just learnt to call
# everything background may lose that to the coarsest.
_STEPS = (COARSE, COARSE / 2, COARSE / 4)

GoodEnough = Callable[[Mapping[str, Tensor]], bool]


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


class Encoder:
    """
    Encodes one stream's updates; knows the weights of every version that its robot may run.

    A robot runs the version that it names with a key frame until the answer to that key frame
    is applied, whether earlier answers arrived or not.
    """

    def __init__(self, settings: WeightSettings) -> None:
        self._settings = settings
        self._versions: dict[int, dict[str, Tensor]] = {}
        self._residual: dict[str, Array] = {}
        self._since_intra = 0

    def encode(
        self, tensors: Mapping[str, Tensor], base: int | None,
        good_enough: GoodEnough | None = None,
    ) -> tuple[EncodedWeights, dict[str, Tensor]]:
        """
        Return ``tensors`` as they travel, and as the robot will have them.

        ``base`` is the version that the robot runs, None where that is unknown. Differences are
        in the coarsest steps of which ``good_enough`` says so, or in the finest there are. Raise
        NonFiniteUpdate.
        """
        settings = self._settings
        running = None if base is None else self._versions.get(base)
        due = settings.intra_period and self._since_intra + 1 >= settings.intra_period
        if settings.encoding != DELTA or running is None or due:
            return self._intra(tensors)
        running = {name: running[name] for name in tensors}
        for step in _STEPS:
            weights = encode_delta(running, tensors, self._residual, settings.density, step)
            decoded = decode_delta(weights, running)
            if good_enough is None or good_enough(decoded):
                break
        for name, tensor in tensors.items():
            left = as_array(tensor) - as_array(decoded[name])
            self._residual[name] = left + self._residual.get(name, 0.0)
        self._since_intra += 1
        return weights, decoded

    def keep(self, version: int, weights: Mapping[str, Tensor], base: int | None = None) -> None:
        """Note the whole weights of a ``version`` sent to a robot that runs ``base``."""
        if self._settings.encoding != DELTA:
            return
        self._versions = {v: w for v, w in self._versions.items() if v == base}
        self._versions[version] = {name: tensor.clone() for name, tensor in weights.items()}

    def _intra(
        self, tensors: Mapping[str, Tensor],
    ) -> tuple[EncodedWeights, dict[str, Tensor]]:
        encoding = FP16 if self._settings.encoding == DELTA else self._settings.encoding
        weights = encode_weights(tensors, encoding)
        for name in tensors:
            self._residual.pop(name, None)
        self._since_intra = 0
        return weights, decode_weights(weights, shapes_of(tensors))
