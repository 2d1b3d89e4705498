# SPDX-License-Identifier: Apache-2.0
"""How the network runs on a device: in which precision, and on CUDA as one recorded graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

AUTO = 'auto'
_DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
PRECISIONS = (AUTO, *_DTYPES)
_BF16_FLAGS = {'amx_bf16', 'avx512_bf16', 'bf16'}  # of x86 and ARM in /proc/cpuinfo
_CPUINFO = Path('/proc/cpuinfo')


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """
    Return the dtype of ``name``, one of ``PRECISIONS``.

    ``auto`` is fp16 on CUDA; on a CPU it is bf16 if that has instructions for it, else fp32.
    Raise ValueError for another name, and for fp16 on a CPU.
    """
    if name == AUTO:
        if device.type == 'cuda':
            return torch.float16
        return torch.bfloat16 if _cpu_has_bf16() else torch.float32
    if name not in _DTYPES:
        raise ValueError(f'precision: expected one of {", ".join(PRECISIONS)}, got {name!r}')
    if name == 'fp16' and device.type == 'cpu':
        raise ValueError('precision fp16 needs a GPU; a CPU has bf16 and fp32')
    return _DTYPES[name]


def _cpu_has_bf16() -> bool:
    try:
        return not _BF16_FLAGS.isdisjoint(_CPUINFO.read_text().split())
    except OSError:
        return False


@dataclass(frozen=True)
class _Recording:
    """A graph with its buffers: pinned ones here, those that it reads and writes over there."""

    graph: torch.cuda.CUDAGraph
    frame_here: Tensor
    frame: Tensor
    answer: Tensor
    answer_here: Tensor


class AnswerGraph:
    """
    ``answer_to``, a function of a uint8 HxWx3 image on a CUDA device, recorded and replayed.

    The recording reads the weights where they lie: new ones that are copied in place are used
    from the next frame on. An image of another size is recorded anew. The only wait for the
    device is the one for the answer. Where recording fails, ``answer_to`` runs as it is.
    """

    def __init__(self, answer_to: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._answer_to = answer_to
        self._device = device
        self._shape: tuple[int, ...] = ()
        self._recording: _Recording | None = None

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the answer to an HxWx3 frame."""
        with torch.cuda.device(self._device):
            if frame.shape != self._shape:
                self._shape, self._recording = frame.shape, self._record(frame.shape)
            recording = self._recording
            if recording is None:
                plain: NDArray[Any] = self._answer_to(
                    torch.from_numpy(np.ascontiguousarray(frame)).to(self._device)
                ).cpu().numpy()
                return plain
            recording.frame_here.numpy()[...] = frame
            recording.frame.copy_(recording.frame_here, non_blocking=True)
            recording.graph.replay()
            recording.answer_here.copy_(recording.answer, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
            done.synchronize()
            answer: NDArray[Any] = recording.answer_here.numpy().copy()
            return answer

    def _record(self, shape: tuple[int, ...]) -> _Recording | None:
        torch.backends.cudnn.benchmark = True
        frame = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries load and choose their kernels
                self._answer_to(frame)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
                answer = self._answer_to(frame)
        except RuntimeError as error:
            logging.getLogger(__name__).warning('no CUDA graph, the student is slower: %s', error)
            return None
        return _Recording(
            graph, torch.zeros(shape, dtype=torch.uint8, pin_memory=True), frame, answer,
            torch.zeros(answer.shape, dtype=answer.dtype, pin_memory=True))
