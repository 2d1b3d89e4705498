# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path
import shutil
import sys

import pytest

from shadowtutor_ros import __version__
from shadowtutor_ros.doctor.finding import OK, PROBLEM, SKIPPED
from shadowtutor_ros.doctor.ros import judge_messages, load, Loaded, messages, rmw, ros

SOURCES = Path(__file__).parents[2] / 'shadowtutor_msgs'
MISSING = Loaded(error="ModuleNotFoundError: No module named 'rclpy'")


@pytest.mark.ros
def test_the_middleware_of_this_machine_is_loaded() -> None:
    loaded = load()
    assert loaded.rmw.startswith('rmw_')
    assert (ros(loaded).level, rmw(loaded).level) == (OK, OK)
    assert loaded.rmw in rmw(loaded).found


@pytest.mark.ros
def test_a_middleware_that_is_not_there_is_found_without_ending_the_doctor() -> None:
    environment = {**os.environ, 'RMW_IMPLEMENTATION': 'rmw_none_cpp', 'ROS_DISTRO': 'jazzy'}
    loaded = load(environment)
    finding = rmw(loaded, environment)
    assert finding.level == PROBLEM
    assert 'RMW_IMPLEMENTATION=rmw_none_cpp' in finding.found
    assert finding.fix.splitlines()[0] == 'sudo apt install ros-jazzy-rmw-none-cpp'
    assert 'unset RMW_IMPLEMENTATION' in finding.fix
    assert ros(loaded, environment).level == OK


def test_without_rclpy_the_reason_is_the_imports(tmp_path: Path) -> None:
    (tmp_path / 'rclpy.py').write_text('raise ImportError("librcl.so is missing")')
    loaded = load({**os.environ, 'PYTHONPATH': str(tmp_path)})
    assert loaded == Loaded(error='ImportError: librcl.so is missing')
    assert rmw(loaded).level == messages(loaded).level == SKIPPED


def test_the_fix_names_what_can_be_sourced(tmp_path: Path) -> None:
    assert 'install ROS 2' in ros(MISSING, {}, tmp_path).fix
    for distro in ('humble', 'jazzy'):
        (tmp_path / distro).mkdir()
        (tmp_path / distro / 'setup.bash').touch()
    finding = ros(MISSING, {}, tmp_path)
    assert (finding.level, finding.fix) == (PROBLEM, f'source {tmp_path}/jazzy/setup.bash')
    sourced = ros(MISSING, {'ROS_DISTRO': 'jazzy'}, tmp_path)
    assert sys.executable in sourced.fix


@pytest.mark.parametrize(('distro', 'level'), [
    ('galactic', PROBLEM), ('humble', OK), ('rolling', OK), ('', OK)])
def test_humble_is_the_oldest(distro: str, level: str) -> None:
    assert ros(Loaded('rmw_fastrtps_cpp'), {'ROS_DISTRO': distro}).level == level


@pytest.mark.ros
def test_the_messages_of_this_machine_are_looked_at() -> None:
    finding = messages(load())
    assert finding.level in (OK, PROBLEM)  # the sources may be newer than what is built
    assert 'share/shadowtutor_msgs' in finding.found


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return shutil.copytree(SOURCES, tmp_path / 'built')


def test_messages_as_their_sources_are_fine(built: Path) -> None:
    finding = judge_messages(built, SOURCES)
    assert (finding.level, finding.found) == (OK, f'version {__version__}, {built}')


def test_a_comment_makes_no_other_message(built: Path) -> None:
    piece = built / 'msg' / 'Piece.msg'
    piece.write_text('# Says more.\n\n' + piece.read_text())
    assert judge_messages(built, SOURCES).level == OK


@pytest.mark.parametrize(('prefix', 'fix'), [
    ('/usr', f'colcon build --base-paths {SOURCES.parent} {SOURCES} && . install/setup.bash'),
    (f'{SOURCES.parent}/.venv', f'make -C {SOURCES.parent} env && . ')])
def test_messages_that_were_not_built_again_are_named(
    built: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, fix: str,
) -> None:
    monkeypatch.setattr(sys, 'prefix', prefix)
    (built / 'msg' / 'Piece.msg').write_text('uint8 other\n')
    (built / 'srv' / 'Step.srv').unlink()
    finding = judge_messages(built, SOURCES)
    assert finding.level == PROBLEM
    assert finding.found.startswith('Piece.msg, Step.srv in ')
    assert finding.fix.startswith(fix)


def test_messages_of_another_version_are_a_problem_without_sources(
    built: Path, tmp_path: Path,
) -> None:
    nowhere = tmp_path / 'nowhere'
    assert judge_messages(built, nowhere).level == OK
    package = built / 'package.xml'
    package.write_text(package.read_text().replace(
        f'<version>{__version__}</version>', '<version>0.0.1</version>'))
    finding = judge_messages(built, nowhere)
    assert finding.level == PROBLEM
    assert f'version 0.0.1 in {built}, expected {__version__}' in finding.found
