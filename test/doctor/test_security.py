# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from shadowtutor_ros.dds import FASTDDS
from shadowtutor_ros.doctor.finding import OK, PROBLEM, SKIPPED, WARNING
from shadowtutor_ros.doctor.security import has_security, judge_security, security


@pytest.fixture
def secured(tmp_path: Path) -> dict[str, str]:
    (tmp_path / 'enclaves').mkdir()
    return {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce',
            'ROS_SECURITY_KEYSTORE': str(tmp_path)}


def test_what_is_off_is_no_problem() -> None:
    assert judge_security(False, {}).level == OK
    assert judge_security(True, {'ROS_SECURITY_ENABLE': 'True'}).level == OK  # rcl wants 'true'
    assert security('rmw_zenoh_cpp', {'ROS_SECURITY_ENABLE': 'true'}).level == SKIPPED


def test_what_is_on_holds_only_with_libraries_a_keystore_and_force(
    secured: dict[str, str],
) -> None:
    assert judge_security(True, secured).level == OK
    finding = judge_security(False, secured)
    assert finding.level == PROBLEM
    assert 'built without it' in finding.found
    assert 'link_key_file' in finding.fix
    permissive = judge_security(True, {**secured, 'ROS_SECURITY_STRATEGY': ''})
    assert (permissive.level, permissive.fix) == (WARNING, 'export ROS_SECURITY_STRATEGY=Enforce')
    assert judge_security(True, {**secured, 'ROS_SECURITY_KEYSTORE': '/nowhere'}).level == PROBLEM


@pytest.mark.parametrize('name', ['libfastrtps.so.2.14.5', 'libfastdds.so.3.2.1'])
@pytest.mark.parametrize('built', [True, False])
def test_the_library_says_whether_it_was_built_with_security(
    tmp_path: Path, name: str, built: bool,
) -> None:
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / name).write_bytes(b'\x7fELF' + b'dds.sec.auth.plugin' * built)
    assert has_security([Path('/nowhere'), tmp_path]) is built
    assert has_security([Path('/nowhere')]) is None


def test_wheels_without_security_are_found_where_their_environment_is_only_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secured: dict[str, str],
) -> None:
    monkeypatch.setattr('sys.prefix', str(tmp_path))
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / 'libfastrtps.so.2.14.5').touch()
    assert security(FASTDDS, secured).level == PROBLEM
