# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from shadowtutor_ros.share import config_file


def test_a_path_goes_before_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert config_file('lvs8', 'classes').name == 'lvs8.yaml'
    monkeypatch.chdir(tmp_path)
    Path('lvs8').touch()
    assert config_file('lvs8', 'classes') == Path('lvs8')


def test_what_is_missing_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r'neither the file none nor .*none\.yaml'):
        config_file('none', 'classes')
