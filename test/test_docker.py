# SPDX-License-Identifier: Apache-2.0
"""The Dockerfiles name files that exist and do what docs/robot.md does; nothing is built."""

from pathlib import Path
import re

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / 'docker').glob('*.Dockerfile'))


def test_there_is_one_for_each_machine() -> None:
    assert [path.stem for path in FILES] == ['robot', 'tutor']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_it_does_what_the_page_says(path: Path) -> None:
    text = path.read_text()
    for source in re.findall(r'^COPY (\S+) ', text, re.MULTILINE):
        assert (ROOT / source).exists()
    entry, = re.findall(r'^ENTRYPOINT \["src/shadowtutor_ros/(.*)"\]', text, re.MULTILINE)
    assert (ROOT / entry).stat().st_mode & 0o111
    page = ' '.join((ROOT / 'docs/robot.md').read_text().replace('\\\n', ' ').split())
    for step in ('python3 -m venv --system-site-packages', "'numpy<2' -r",
                 'rosdep install --ignore-src -y', 'venv/bin/python "$(command -v colcon)" build',
                 '--base-paths src/shadowtutor_ros src/shadowtutor_ros/shadowtutor_msgs'):
        assert step in page
        assert step in ' '.join(text.replace("'nicegui>=3' ", '').replace('\\\n', ' ').split())
    launched = re.findall(r'[a-z]+\.launch\.py', text)
    assert launched
    assert all((ROOT / 'launch' / name).is_file() for name in launched)
