# SPDX-License-Identifier: Apache-2.0
"""docs/extending.md is a program that runs, whose blocks are as short as it says."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import pytest

from shadowtutor_ros.model.table import ARCHITECTURES
from shadowtutor_ros.tasks.table import TASKS
from shadowtutor_ros.teacher.factory import TEACHERS
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.key_frame import FRAME_FORMATS

PAGE = Path(__file__).parents[1] / 'docs' / 'extending.md'
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
TABLES: tuple[dict[str, Any], ...] = (
    TEACHERS, ARCHITECTURES, TASKS, FRAME_FORMATS, WEIGHT_ENCODINGS)  # type: ignore[arg-type]


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    before = [set(table) for table in TABLES]
    monkeypatch.chdir(tmp_path)
    try:
        program = compile('\n'.join(BLOCKS), str(PAGE), 'exec')
        exec(program, {'__name__': 'extending'})
        added = [set(table) - rows for table, rows in zip(TABLES, before)]
    finally:
        for table, rows in zip(TABLES, before):
            for row in set(table) - rows:
                del table[row]
    assert added == [{'red'}, {'plain'}, {'presence'}, {'zlib'}, {'fp16-zlib'}]
    said = capsys.readouterr().out
    metrics = {task: float(metric) for task, metric in re.findall(r'(\w+): metric ([\d.]+)', said)}
    assert metrics.keys() == {'segmentation', 'presence'}
    assert min(metrics.values()) >= 0.8, said


@pytest.mark.parametrize('block', BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_is_short(block: str) -> None:
    lines = [line for line in block.splitlines() if line and not line.startswith('from ')]
    assert len(lines) <= 25


@pytest.mark.parametrize(('table', 'row', 'parameters', 'name'), [
    ('wire.key_frame import FRAME_FORMATS', 'png', 'student', 'key_frame_format'),
    ('wire.encodings import WEIGHT_ENCODINGS', 'fp16', 'tutor', 'weight_encoding'),
    ('teacher.factory import TEACHERS', 'labels', 'tutor', 'teacher')])
def test_a_row_that_was_added_before_the_nodes_can_be_chosen(
    table: str, row: str, parameters: str, name: str,
) -> None:
    program = f"""
from shadowtutor_ros.{table} as TABLE
TABLE['new'] = TABLE['{row}']
from shadowtutor_ros.nodes.{parameters}_parameters import {parameters.upper()}_PARAMETERS as ALL
print(*next(p.choices for p in ALL if p.name == '{name}'))
"""
    said = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'new' in said.stdout.split(), said.stderr
