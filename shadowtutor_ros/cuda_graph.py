# SPDX-License-Identifier: Apache-2.0
"""Work on a GPU, recorded once and replayed with a single launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
from threading import Lock
from typing import Any, Generic, TypeVar

import torch

_WARM_UPS = 3  # in which libraries load and choose their kernels
_recording = Lock()  # torch and CUDA allow one at a time in a process

T = TypeVar('T')


@dataclass(frozen=True)
class Recording(Generic[T]):
    """A recorded graph, and the tensors that the work returned: each replay fills them anew."""

    graph: torch.cuda.CUDAGraph
    result: T

    def replay(self) -> T:
        """Queue the work on the current stream; return its ``result``, which the next fills."""
        self.graph.replay()
        return self.result


class Recorder:
    """
    Records work on one device.

    Its recordings share their working memory, so no two of them may run at the same time; each
    ``result`` is kept as long as somebody holds it. What shall run at the same time is recorded
    by recorders of their own, each in a thread of its own.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def record(self, work: Callable[[], T]) -> Recording[T] | None:
        """
        Return the recording of ``work``; None where the device has no graphs or recording fails.

        ``work`` reads and writes tensors that stay where they are, and never waits for the
        device. It runs three times before it is recorded: whoever needs what it changes as it
        was puts it back. What it raises in these is raised. While another thread records, nobody
        may wait for the whole device (``torch.cuda.synchronize``).
        """
        if self._device.type != 'cuda':
            return None
        with _recording, torch.cuda.device(self._device):
            stream = self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            pool = self._pool = self._pool or torch.cuda.graph_pool_handle()
            torch.backends.cudnn.benchmark = True
            before = torch.cuda.current_stream()
            stream.wait_stream(before)
            try:
                # torch.cuda.graph leaves its stream the current one when it fails: this gives
                # it back.
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UPS):
                        work()
                    return self._capture(work, stream, pool)
            finally:
                before.wait_stream(stream)

    def _capture(
        self, work: Callable[[], T], stream: torch.cuda.Stream, pool: Any,
    ) -> Recording[T] | None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, pool, stream, capture_error_mode='thread_local'):
                result = work()
        except RuntimeError as error:
            logging.getLogger(__name__).warning(
                'no CUDA graph, %s is slower: %s', getattr(work, '__qualname__', work), error)
            return None
        return Recording(graph, result)
