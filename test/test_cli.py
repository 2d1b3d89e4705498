# SPDX-License-Identifier: Apache-2.0
"""The command line ends with one line, whatever the file system says."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest
from scene import Scene


def shadowtutor(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'shadowtutor_ros.cli', *map(str, arguments)], text=True,
        capture_output=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize('arguments', [
    ['bag', 'make', 'VIDEO', '/dev/null/x'], ['bag', 'export', 'BAG', '/dev/null/x.mp4'],
    ['bag', 'export', 'BAG', '/proc/x'], ['demo', '--video', 'VIDEO', '--out', '/dev/null/x'],
    ['evaluate', 'VIDEO', '--labels', 'LABELS', '--settings', 'wild', '--out', '/proc/x'],
    ['evaluate', 'VIDEO', '--labels', 'LABELS', '--settings', 'wild', '--out', 'FILE'],
], ids=lambda a: ' '.join(a))
def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, scene: Scene, arguments: list[str],
) -> None:
    (tmp_path / 'file').write_text('precious')
    if 'BAG' in arguments:
        assert shadowtutor('bag', 'make', scene.video, tmp_path / 'bag').returncode == 0
    names = {'VIDEO': scene.video, 'LABELS': scene.label_maps, 'BAG': tmp_path / 'bag',
             'FILE': tmp_path / 'file'}
    run = shadowtutor(*(names.get(argument, argument) for argument in arguments))
    assert run.returncode == 1
    assert run.stderr.startswith('error: ')
    assert len(run.stderr.splitlines()) == 1
    assert str(names.get(arguments[-1], arguments[-1])) in run.stderr
    assert (tmp_path / 'file').read_text() == 'precious'


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, scene: Scene) -> None:
    run = shadowtutor('demo', '--video', scene.video, '--out', tmp_path / 'out',
                      SHADOWTUTOR_CACHE='/proc/x')
    assert run.returncode == 1
    assert run.stderr.startswith('error: ')
    assert len(run.stderr.splitlines()) == 1
    assert '/proc/x' in run.stderr


@pytest.mark.parametrize('environment', [{'PYTHONIOENCODING': 'ascii'}, {
    'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}], ids=['ascii', 'C'])
def test_names_that_a_terminal_cannot_show_end_no_command(
    tmp_path: Path, scene: Scene, environment: dict[str, str],
) -> None:
    for name in (b'\xc3\xbc', b'latin\xe9'):
        out = tmp_path / os.fsdecode(name)
        run = shadowtutor('bag', 'make', scene.video, out, '--frames', 1, **environment)
        assert run.returncode == 0, run.stderr
        assert '1 frames at 25 per second' in run.stdout
        assert out.is_dir()
