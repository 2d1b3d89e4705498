# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import sys

import pytest

from shadowtutor_ros.doctor.fixes import pip, start, subcommand


@pytest.fixture
def ros2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a command ros2 that would be found."""
    monkeypatch.setenv('PATH', str(tmp_path))
    return tmp_path / 'ros2'


def test_with_ros2_a_node_is_launched(ros2: Path) -> None:
    ros2.touch(mode=0o755)
    assert start('tutor') == 'ros2 launch shadowtutor_ros tutor.launch.py'
    assert start('student', image='/front', tutor='/tutor2') == (
        'ros2 launch shadowtutor_ros student.launch.py image:=/front tutor:=/tutor2')


def test_without_ros2_a_node_is_run(ros2: Path) -> None:
    assert not ros2.exists()
    assert start('tutor') == 'tutor_node'
    assert start('student', image='/front', tutor='/tutor2') == (
        'student_node --ros-args -r image:=/front -p tutor:=/tutor2')


def test_what_is_not_on_the_path_is_run_from_the_workspace(ros2: Path) -> None:
    assert subcommand('top') == 'ros2 run shadowtutor_ros shadowtutor top'
    ros2.with_name('shadowtutor').touch(mode=0o755)
    assert subcommand('top') == 'shadowtutor top'


def test_a_python_of_the_distribution_keeps_pip_out_unless_told() -> None:
    assert pip('torch', managed=False) == f'{sys.executable} -m pip install torch'
    assert ' --user --break-system-packages torch' in pip('torch', managed=True)
    assert pip('torch') in (pip('torch', managed=True), pip('torch', managed=False))
