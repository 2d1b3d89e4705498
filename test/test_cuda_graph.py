# SPDX-License-Identifier: Apache-2.0
"""Recording: what a CPU shows of it with a device that only notes what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from typing import Any

import pytest
import torch

from shadowtutor_ros.cuda_graph import Recorder


class NotingStream:
    """A stream that notes what it waits for."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes

    def wait_stream(self, other: NotingStream) -> None:
        self._notes.append(f'{self.name} waits for {other.name}')


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand for the parts of torch.cuda that recording uses; return what they note."""
    notes: list[str] = []

    @contextmanager
    def scope(name: str) -> Iterator[None]:
        notes.append(f'into {name}')
        yield
        notes.append(f'out of {name}')

    @contextmanager
    def graph(_: Any, pool: Any, stream: NotingStream, capture_error_mode: str) -> Iterator[None]:
        notes.append(f'records on {stream.name} in pool {pool}, {capture_error_mode}')
        yield
        notes.append('recorded')

    for name, part in {
        'Stream': lambda: NotingStream('side', notes),
        'current_stream': lambda: NotingStream('main', notes),
        'graph_pool_handle': lambda: 7,
        'device': lambda device: scope(str(device)),
        'stream': lambda stream: scope(stream.name),
        'CUDAGraph': lambda: torch.nn.Identity(),
        'graph': graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, part)
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    return notes


def test_a_cpu_records_nothing_and_runs_nothing() -> None:
    assert Recorder('cpu').record(lambda: pytest.fail('it ran')) is None


def test_work_is_warmed_up_beside_the_current_stream_and_then_recorded(notes: list[str]) -> None:
    recording = Recorder('cuda:1').record(lambda: notes.append('work') or 'result')
    assert recording is not None
    assert recording.result == 'result'
    assert notes == [
        'into cuda:1', 'side waits for main', 'into side', 'work', 'work', 'work',
        'records on side in pool 7, thread_local', 'work', 'recorded', 'out of side',
        'main waits for side', 'out of cuda:1']


def test_what_cannot_be_recorded_is_told_once_and_left(
    notes: list[str], caplog: pytest.LogCaptureFixture,
) -> None:
    def work() -> None:
        notes.append('work')
        if notes.count('work') > 3:
            raise RuntimeError('operation not permitted')

    with caplog.at_level(logging.WARNING):
        assert Recorder('cuda').record(work) is None
    assert [record.getMessage() for record in caplog.records] == [
        f'no CUDA graph, {work.__qualname__} is slower: operation not permitted']
    assert notes[-2:] == ['main waits for side', 'out of cuda']


def test_what_work_raises_before_it_is_recorded_is_raised(notes: list[str]) -> None:
    def work() -> None:
        raise RuntimeError('out of memory')

    with pytest.raises(RuntimeError, match='out of memory'):
        Recorder('cuda').record(work)
    assert notes[-1] == 'main waits for side'  # which has not done all that it was told before
    assert Recorder('cuda').record(lambda: 'later') is not None  # nobody holds the lock


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_replay_reads_what_lies_in_the_buffers() -> None:
    numbers = torch.zeros(4, device='cuda')
    recorder = Recorder('cuda')
    doubled = recorder.record(lambda: numbers * 2)
    more = recorder.record(lambda: numbers + 1)
    assert doubled is not None
    assert more is not None
    numbers.copy_(torch.arange(4.0))
    assert doubled.replay().tolist() == [0, 2, 4, 6]
    assert more.replay().tolist() == [1, 2, 3, 4]
    assert doubled.result.tolist() == [0, 2, 4, 6]
