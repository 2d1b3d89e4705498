# SPDX-License-Identifier: Apache-2.0
"""Documents link to files that exist, quote messages that exist and name real parameters."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])
VARIES = '...'


def strings(node: ast.AST) -> Iterator[str]:
    """Return every string of a module, with what f-strings put in as VARIES."""
    if isinstance(node, ast.JoinedStr):
        yield ''.join(str(part.value) if isinstance(part, ast.Constant) else VARIES
                      for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.replace('%s', VARIES)
    for child in ast.iter_child_nodes(node):
        yield from strings(child)


def quoted_messages() -> list[str]:
    page = (ROOT / 'docs/troubleshooting.md').read_text()
    return [line for block in re.findall(r'```text\n(.*?)```', page, re.DOTALL)
            for line in block.splitlines()]


@pytest.fixture(scope='module')
def said() -> list[str]:
    """Every string of the package."""
    return [text for path in ROOT.glob('shadowtutor_ros/**/*.py')
            for text in strings(ast.parse(path.read_text()))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r'\]\(([^)\s]+)\)', page.read_text())
    files = [link.partition('#')[0] for link in links if '://' not in link]
    assert not [file for file in files if file and not (page.parent / file).exists()]


@pytest.mark.parametrize('message', quoted_messages())
def test_a_quoted_message_is_said_somewhere(message: str, said: list[str]) -> None:
    quoted = [part for part in message.split(VARIES) if part.strip()]
    assert any(all(part in text for part in quoted) for text in said)


def test_every_parameter_in_the_tables_of_tuning_exists() -> None:
    known = {name for path in ROOT.glob('config/*.yaml')
             for node in yaml.safe_load(path.read_text()).values()
             for name in node['ros__parameters']}
    page = (ROOT / 'docs/tuning.md').read_text()
    cells = re.findall(r'^\| ([^|]*`[^|]*) \|', page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r'`([a-z_]+)[`:]', cell)}
    assert len(named) > 15
    assert named - known <= {'dds_profile', 'namespace', 'tutor'}
