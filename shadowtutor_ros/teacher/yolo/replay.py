# SPDX-License-Identifier: Apache-2.0
"""A network that is replayed from CUDA graphs where there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from shadowtutor_ros.cuda_graph import Recorder, Recording
from shadowtutor_ros.teacher.yolo.modules import Detections

BATCHES = (1, 2, 4, 8)  # pictures of a recording
_RECORDINGS = 16  # that are kept, each of a number of pictures and their size


@dataclass(frozen=True)
class _Recorded:
    """A recording, and the pictures that it reads."""

    pictures: Tensor
    recording: Recording[Detections]


class ReplayedNetwork:
    """
    ``network`` on ``device`` in ``dtype``, recorded for each number and size of pictures.

    A recording is of 1, 2, 4 or 8 pictures; the last ones of it are left as they were where
    there are fewer. Where a device has no graphs, or recording fails, the network runs as it is.
    """

    def __init__(
        self, network: Callable[[Tensor], Detections], device: torch.device, dtype: torch.dtype,
    ) -> None:
        self._network = network
        self._device = device
        self._dtype = dtype
        self._recorder = Recorder(device)
        self._recorded = lru_cache(_RECORDINGS)(self._record)

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Detections:
        """Return what it says of 1 to 8 pictures Bx3xHxW; the next call may overwrite that."""
        count = len(pictures)
        batch = next(size for size in BATCHES if size >= count)
        recorded = self._recorded((batch, *pictures.shape[1:]))
        if recorded is None:
            return self._network(pictures.to(self._dtype, memory_format=torch.channels_last))
        recorded.pictures[:count].copy_(pictures)
        return Detections(*(part[:count] for part in recorded.recording.replay()))

    def _record(self, shape: tuple[int, ...]) -> _Recorded | None:
        pictures = torch.zeros(shape, dtype=self._dtype, device=self._device).to(
            memory_format=torch.channels_last)
        recording = self._recorder.record(lambda: self._network(pictures))
        return None if recording is None else _Recorded(pictures, recording)
