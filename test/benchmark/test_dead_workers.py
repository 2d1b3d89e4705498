# SPDX-License-Identifier: Apache-2.0
"""Workers and whole machines of a Ray cluster are killed; in a process that Ray has to itself."""

from importlib.util import find_spec
import json
from pathlib import Path
import subprocess
import sys

import dead_workers
import pytest

pytestmark = pytest.mark.skipif(find_spec('ray') is None, reason='needs the extra scale')


def test_robots_go_on_when_workers_and_machines_die(tmp_path: Path) -> None:
    found = tmp_path / 'found.json'
    subprocess.run(
        [sys.executable, dead_workers.__file__, '--kills', '2', '--address', 'auto',
         '--json', str(found)], check=True, timeout=400)
    result = json.loads(found.read_text())
    assert result['left'] == 0
    worker, machine = result['deaths']
    assert (worker['what'], machine['what']) == ('worker', 'machine')
    for death in worker, machine:
        assert death['robots'] >= 1
        assert death['inter']
        assert death['failures'] == 0
        assert death['actors'] == 2
        assert death['seconds'] < 30.0  # 2 to 3 on a machine that is not busy
