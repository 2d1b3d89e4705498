# SPDX-License-Identifier: Apache-2.0
"""Updates of one stream: inter against what its robot runs, intra where that is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import Shapes
from shadowtutor_ros.snapshot import number_from, Snapshot, tensor_from
from shadowtutor_ros.wire.dct import Array
from shadowtutor_ros.wire.delta import as_array, DELTA_DCT
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS, WeightEncoding
from shadowtutor_ros.wire.errors import NonFiniteUpdate
from shadowtutor_ros.wire.weights import EncodedWeights, FP16, FP32


@dataclass(frozen=True)
class WeightSettings:
    """
    How weights travel.

    ``encoding`` fp32 and fp16 send every weight; delta sends differences where it can, else
    fp16. ``density`` (0-1] is the share of differences that is sent. With ``intra_period`` > 0
    every so many updates one is whole.
    """

    encoding: str = DELTA_DCT
    density: float = 1.0
    intra_period: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in WEIGHT_ENCODINGS:
            raise ValueError(f'weight_encoding: expected one of {", ".join(WEIGHT_ENCODINGS)}, '
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
        return WEIGHT_ENCODINGS[self.weights.encoding].inter


def intra(tensors: Mapping[str, Tensor], settings: WeightSettings) -> Draft:
    """Return ``tensors`` whole, as ``settings`` says; raise NonFiniteUpdate."""
    return _whole(WEIGHT_ENCODINGS[settings.encoding].intra, tensors)


def exact(tensors: Mapping[str, Tensor]) -> EncodedWeights:
    """Return ``tensors`` in the shortest floats that lose nothing; raise NonFiniteUpdate."""
    with suppress(NonFiniteUpdate):
        draft = _whole(FP16, tensors)
        if all(torch.equal(draft.decoded[name], tensor.cpu())
               for name, tensor in tensors.items()):
            return draft.weights
    return _whole(FP32, tensors).weights


def _whole(encoding: str, tensors: Mapping[str, Tensor]) -> Draft:
    return next(_drafts(WEIGHT_ENCODINGS[encoding], tensors, tensors, {}, 1.0))


def _drafts(
    encoding: WeightEncoding, tensors: Mapping[str, Tensor], running: Mapping[str, Tensor],
    residual: Mapping[str, Array], density: float,
) -> Iterator[Draft]:
    for weights in encoding.encode(tensors, running, residual, density):
        yield Draft(tensors, weights, encoding.decode(weights, running))


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

        The last one has them whole: it rounds no more than floats do.
        ``base`` is the version that the robot runs, None where that is unknown. Raise
        NonFiniteUpdate.
        """
        settings, encoding = self._settings, WEIGHT_ENCODINGS[self._settings.encoding]
        running = None if base is None else self._versions.get(base)
        due = settings.intra_period and self._since_intra + 1 >= settings.intra_period
        if encoding.inter and running is not None and not due:
            yield from _drafts(encoding, tensors, {name: running[name] for name in tensors},
                               self._residual, settings.density)
        yield intra(tensors, settings)

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
        if WEIGHT_ENCODINGS[self._settings.encoding].inter:
            self._versions = {v: w for v, w in self._versions.items() if v == base}
            self._versions[version] = weights

    def begin_anew(self) -> None:
        """Owe the robot nothing: what is sent next is another student than before."""
        self._residual.clear()

    @property
    def versions(self) -> Mapping[int, Mapping[str, Tensor]]:
        """The whole weights of every version that it knows; nobody changes them."""
        return self._versions

    def snapshot(self) -> Snapshot:
        """Return what it keeps beside its versions."""
        return {'since_intra': np.array(self._since_intra),
                **{f'residual/{name}': array for name, array in self._residual.items()}}

    def restore(
        self, snapshot: Snapshot, versions: Mapping[int, Mapping[str, Tensor]], shapes: Shapes,
    ) -> None:
        """
        Go on from a snapshot with ``versions``, the student's tensors being of ``shapes``.

        Raise BadSnapshot.
        """
        if not WEIGHT_ENCODINGS[self._settings.encoding].inter:
            return
        self._residual = {name: as_array(tensor_from(snapshot, f'residual/{name}', shape))
                          for name, shape in shapes.items() if f'residual/{name}' in snapshot}
        self._since_intra = number_from(snapshot, 'since_intra')
        self._versions = dict(versions)
