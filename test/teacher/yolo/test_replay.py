# SPDX-License-Identifier: Apache-2.0
"""A network in recordings; on a CPU a recording runs its work again, eagerly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from shadowtutor_ros.teacher.yolo import replay
from shadowtutor_ros.teacher.yolo.modules import Detections, SegmentationModel
from shadowtutor_ros.teacher.yolo.replay import ReplayedNetwork


class EagerRecorder:
    """Replays by doing the work again, into the result of the first time as a graph does."""

    recorded = 0

    def __init__(self, device: torch.device) -> None:
        pass

    def record(self, work: Callable[[], Detections]) -> EagerRecording:
        EagerRecorder.recorded += 1
        return EagerRecording(work)


class EagerRecording:
    def __init__(self, work: Callable[[], Detections]) -> None:
        self._work = work
        self._result = work()

    def replay(self) -> Detections:
        for kept, new in zip(self._result, self._work(), strict=True):
            kept.copy_(new)
        return self._result


@pytest.fixture
def _recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, 'Recorder', EagerRecorder)
    monkeypatch.setattr(EagerRecorder, 'recorded', 0)


def pictures(count: int, height: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, 64, generator=torch.Generator().manual_seed(seed))


def test_without_graphs_the_network_runs_as_it_is(tiny: SegmentationModel) -> None:
    replayed = ReplayedNetwork(tiny, torch.device('cpu'), torch.float32)
    for part, expected in zip(replayed(pictures(3)), tiny(pictures(3)), strict=True):
        torch.testing.assert_close(part, expected)


@pytest.mark.usefixtures('_recordings')
def test_every_number_of_pictures_gives_what_the_network_says(tiny: SegmentationModel) -> None:
    replayed = ReplayedNetwork(tiny, torch.device('cpu'), torch.float32)
    for count in (1, 2, 3, 4, 5, 8, 3, 1):
        images = pictures(count, seed=count)
        for part, expected in zip(replayed(images), tiny(images), strict=True):
            torch.testing.assert_close(part, expected)
    assert EagerRecorder.recorded == 4  # of 1, 2, 4 and 8


@pytest.mark.usefixtures('_recordings')
def test_other_sizes_have_recordings_of_their_own(tiny: SegmentationModel) -> None:
    replayed = ReplayedNetwork(tiny, torch.device('cpu'), torch.float32)
    for height in (32, 64, 32, 64):
        assert replayed(pictures(1, height)).prototypes.shape == (1, 4, height // 4, 16)
    assert EagerRecorder.recorded == 2


@pytest.mark.usefixtures('_recordings')
def test_few_recordings_are_kept(
    tiny: SegmentationModel, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, '_RECORDINGS', 2)
    replayed = ReplayedNetwork(tiny, torch.device('cpu'), torch.float32)
    for height in (32, 64, 96, 32):
        replayed(pictures(1, height))
    assert EagerRecorder.recorded == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_graph_says_what_the_network_says(tiny: SegmentationModel, dtype: torch.dtype) -> None:
    device = torch.device('cuda')
    expected = [tiny(pictures(count, seed=count)) for count in (1, 3, 1)]
    network = tiny.to(device)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(dtype)
    replayed = ReplayedNetwork(network, device, dtype)
    for count, known in zip((1, 3, 1), expected, strict=True):
        found = replayed(pictures(count, seed=count).to(device))
        for part, one in zip(found, known, strict=True):
            assert (part.cpu() - one).abs().median() < 0.05
    recorded = replayed._recorded((1, 3, 32, 64))
    assert recorded is not None
