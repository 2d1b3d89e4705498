# SPDX-License-Identifier: Apache-2.0
"""How the network runs on a device: in which precision, and on CUDA as one recorded graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.cuda_graph import Recorder, Recording
from shadowtutor_ros.upload import upload

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


def precision_name(precision: torch.dtype) -> str:
    """Return what ``pick_precision`` makes this dtype of."""
    return next(name for name, dtype in _DTYPES.items() if dtype == precision)


def _cpu_has_bf16() -> bool:
    try:
        return not _BF16_FLAGS.isdisjoint(_CPUINFO.read_text().split())
    except OSError:
        return False


@dataclass(frozen=True)
class _Answering:
    """A recorded answer, and the frame that it reads."""

    frame: Tensor
    recording: Recording[Tensor]


class AnswerGraph:
    """
    A function of a uint8 HxWx3 image on a CUDA device, recorded and replayed.

    It is the same one at every call, and is not kept: a student's would keep the student, with
    memory of the device. The recording reads the weights where they lie: new ones that are copied
    in place are used from the next frame on. An image of another size is recorded anew. The only
    wait for the device is the one for the answer. Where recording fails, the function runs as it
    is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._recorder = Recorder(device)
        self._shape: tuple[int, ...] = ()
        self._answering: _Answering | None = None

    def __call__(
        self, answer_to: Callable[[Tensor], Tensor], frame: NDArray[np.uint8],
    ) -> NDArray[Any]:
        """Return the answer to an HxWx3 frame."""
        with torch.cuda.device(self._device):
            if frame.shape != self._shape:
                self._answering = self._record(answer_to, frame.shape)
                self._shape = frame.shape
            answering = self._answering
            if answering is None:
                plain: NDArray[Any] = answer_to(upload(frame, self._device)).cpu().numpy()
                return plain
            # Straight from pinned memory to where it is read.
            answering.frame.copy_(
                torch.from_numpy(np.ascontiguousarray(frame)).pin_memory(), non_blocking=True)
            there = answering.recording.replay()
            here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
            here.copy_(there, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
            done.synchronize()
            answer: NDArray[Any] = here.numpy()
            return answer

    def _record(
        self, answer_to: Callable[[Tensor], Tensor], shape: tuple[int, ...],
    ) -> _Answering | None:
        frame = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        recording = self._recorder.record(lambda: answer_to(frame))
        return None if recording is None else _Answering(frame, recording)
