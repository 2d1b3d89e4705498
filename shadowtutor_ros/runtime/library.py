# SPDX-License-Identifier: Apache-2.0
"""Students of the past, of which one may know the scene that a stream shows now (RECL, MOCHA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
import threading

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL, Shapes, shapes_of
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.runtime.state_folder import StateFolder
from shadowtutor_ros.snapshot import (
    array_of,
    BadSnapshot,
    number_from,
    Snapshot,
    tensor_from,
    text_array,
    text_from,
)
from shadowtutor_ros.teacher.protocol import Labelling

FIRST = 'first student'
LIBRARY = 32  # students of the past that are kept, where nobody says how many
_BETTER = 0.05  # of the metric: what is gained at least by starting from another student
_TRIED, _TRIED_ON_A_GPU = 8, 32  # at most; on a CPU each costs as much as a frame and more
_BYTES = 512 << 20  # in memory and on disk at most

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Start:
    """A student from which a lesson starts, and what it is better by on the key frame, 0-1."""

    id: str
    gain: float
    tensors: Tensors
    metric_before: float


@dataclass(frozen=True)
class _Past:
    """A student as it was after so many key frames of its stream, in float16."""

    stream_id: str
    key_frames: int
    tensors: Tensors

    @property
    def id(self) -> str:
        return f'{self.stream_id}@{self.key_frames}'

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


class Library:
    """
    At most ``most`` students of the past, the newest of every stream, and the first of all.

    Of too many one goes of the stream that has most: the one whose neighbours, by key frames, are
    closest together; the newest stays. Every method may be called from any thread. With a
    ``folder`` those of the past are kept there.
    """

    def __init__(self, first: Student, most: int, folder: Path | None = None) -> None:
        """Raise UnusableStateFolder."""
        self._most = most
        self._tried = _TRIED_ON_A_GPU if first.device.type == 'cuda' else _TRIED
        self._first = {name: tensor.cpu() for name, tensor in first.weights(FULL).items()}
        self._layout = f'{first.layout_hash:016x}'
        self._past: dict[str, _Past] = {}  # what was kept or chosen last is last
        self._newest: dict[str, Tensors] = {}
        self._lock = threading.Lock()
        self._folder = None if folder is None else StateFolder(folder, most, _BYTES)
        if self._folder is not None:
            self._read(self._folder, shapes_of(self._first))

    def note(self, stream_id: str, tensors: Tensors) -> None:
        """Know the newest student of a stream, whose tensors nobody changes."""
        with self._lock:
            self._newest[stream_id] = tensors

    def keep(self, stream_id: str, key_frames: int, tensors: Tensors) -> None:
        """Keep a stream's student as it is after so many key frames."""
        past = _Past(stream_id, key_frames,
                     {name: tensor.half() for name, tensor in tensors.items()})
        if not all(torch.isfinite(tensor).all() for tensor in past.tensors.values()):
            return
        with self._lock:
            self._past.pop(past.id, None)
            self._past[past.id] = past
            gone = self._thin_out()
        if self._folder is not None:
            self._folder.put(self._key(past.id), _snapshot_of(past))
            for id in gone:
                self._folder.remove(self._key(id))

    def forget(self, stream_id: str) -> None:
        """Take note that a stream has ended; its students of the past stay."""
        with self._lock:
            self._newest.pop(stream_id, None)

    def best(
        self, stream_id: str, current: Tensors, trainer: Trainer, frame: Frame,
        labelling: Labelling,
    ) -> Start | None:
        """
        Return the student that is clearly best on a labelled key frame, None if none is.

        ``current`` is the stream's own. Tried are the first student, those of the past, kept or
        chosen last first, and in turn with them the newest of other streams. The trainer's
        student is one of them afterwards. Raise as ``Trainer.train`` does.
        """
        candidates = self._candidates(stream_id)
        if not candidates:
            return None
        before, *metrics = trainer.compare(frame, labelling, [current, *candidates.values()])
        metric, id = max(zip(metrics, candidates))
        if metric < before + _BETTER:
            return None
        with self._lock:
            if id in self._past:
                self._past[id] = self._past.pop(id)
        return Start(id, metric - before, candidates[id], before)

    def close(self) -> None:
        """Write what waits, and let others use the folder."""
        if self._folder is not None:
            self._folder.close()

    def _candidates(self, stream_id: str) -> dict[str, Tensors]:
        with self._lock:
            others = {other: tensors for other, tensors in self._newest.items()
                      if other != stream_id}
            past = [(past.id, past.tensors) for past in reversed(self._past.values())]
            # A stream without a newest one has not been taught: its own is the first.
            first = [(FIRST, self._first)] if stream_id in self._newest else []
        return dict(islice([*first, *_in_turn(past, list(others.items()))], self._tried))

    def _thin_out(self) -> list[str]:
        """Let go of what is too much; return the ids."""
        gone = []
        while len(self._past) > self._most or (
                len(self._past) > 1
                and sum(past.nbytes for past in self._past.values()) > _BYTES):
            streams: dict[str, list[_Past]] = {}
            for past in self._past.values():
                streams.setdefault(past.stream_id, []).append(past)
            most = max(len(students) for students in streams.values())
            fullest = sorted(next(s for s in streams.values() if len(s) == most),
                             key=lambda past: past.key_frames)
            gaps = [(after.key_frames - before.key_frames, past.id) for before, past, after
                    in zip([fullest[0], *fullest], fullest, fullest[1:])]
            gone.append(min(gaps)[1] if gaps else next(iter(self._past)))
            del self._past[gone[-1]]
        return gone

    def _read(self, folder: StateFolder, shapes: Shapes) -> None:
        for key, snapshot in folder.snapshots(self._layout):
            try:
                past = _past_from(snapshot, shapes)
            except BadSnapshot as error:
                folder.set_aside(key, error)
            else:
                self._past[past.id] = past
        self._thin_out()

    def _key(self, id: str) -> str:
        return f'{self._layout} {id}'


def _in_turn(one: list[tuple[str, Tensors]], other: list[tuple[str, Tensors]]) -> list[
        tuple[str, Tensors]]:
    pairs = [pair for both in zip(one, other) for pair in both]
    return [*pairs, *one[len(other):], *other[len(one):]]


def _snapshot_of(past: _Past) -> Snapshot:
    return {'stream_id': text_array(past.stream_id), 'key_frames': np.array(past.key_frames),
            **{f'weights/{name}': array_of(tensor) for name, tensor in past.tensors.items()}}


def _past_from(snapshot: Snapshot, shapes: Shapes) -> _Past:
    return _Past(text_from(snapshot, 'stream_id'), number_from(snapshot, 'key_frames'),
                 {name: tensor_from(snapshot, f'weights/{name}', shape, np.float16)
                  for name, shape in shapes.items()})
