# SPDX-License-Identifier: Apache-2.0
"""How the network runs on a device: in which precision, and on CUDA as one recorded graph."""

from __future__ import annotations

from collections.abc import Callable
import statistics
import time

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
import torch.nn.functional as F

AUTO = 'auto'
_DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
PRECISIONS = (AUTO, *_DTYPES)
_WORTH_IT = 1.5  # times faster than fp32, or the loss of precision buys too little


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """
    Return the dtype of ``name``, one of ``PRECISIONS``.

    ``auto`` is fp16 on CUDA; on a CPU it is bf16 if a convolution here is clearly faster with
    it, else fp32. Raise ValueError for another name, and for fp16 on a CPU.
    """
    if name == AUTO:
        if device.type == 'cuda':
            return torch.float16
        return torch.bfloat16 if _bf16_speed_up(device) > _WORTH_IT else torch.float32
    if name not in _DTYPES:
        raise ValueError(f'precision: expected one of {", ".join(PRECISIONS)}, got {name!r}')
    if name == 'fp16' and device.type == 'cpu':
        raise ValueError('precision fp16 needs a GPU; a CPU has bf16 and fp32')
    return _DTYPES[name]


@torch.inference_mode()
def _bf16_speed_up(device: torch.device) -> float:
    x = torch.ones(1, 64, 90, 160, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, device=device)
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(6):
        for dtype, seconds in times.items():
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                started = time.perf_counter()
                F.conv2d(x, weight, padding=1)
                seconds.append(time.perf_counter() - started)
    # The first ones make the kernels.
    fp32, bf16 = (statistics.median(seconds[1:]) for seconds in times.values())
    return fp32 / bf16


class MaskGraph:
    """
    ``mask_of``, a function of a uint8 HxWx3 image on a CUDA device, recorded and replayed.

    The recording reads the weights where they lie: new ones that are copied in place are used
    from the next frame on. An image of another size is recorded anew. The only wait for the
    device is the one for the mask.
    """

    def __init__(self, mask_of: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._mask_of = mask_of
        self._device = device
        self._shape: tuple[int, ...] = ()

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the HxW mask."""
        with torch.cuda.device(self._device):
            if frame.shape != self._shape:
                self._record(frame.shape)
            self._frame_here.numpy()[...] = frame
            self._frame.copy_(self._frame_here, non_blocking=True)
            self._graph.replay()
            self._mask_here.copy_(self._mask, non_blocking=True)
            torch.cuda.current_stream().synchronize()
            mask: NDArray[np.uint8] = self._mask_here.numpy().copy()
            return mask

    def _record(self, shape: tuple[int, ...]) -> None:
        self._shape = ()
        self._frame_here = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        self._mask_here = torch.zeros(shape[:2], dtype=torch.uint8, pin_memory=True)
        self._frame = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.backends.cudnn.flags(benchmark=True):
            for _ in range(3):  # libraries load and choose their kernels
                self._mask_of(self._frame)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.backends.cudnn.flags(benchmark=True):
            self._mask = self._mask_of(self._frame)
        self._shape = shape
