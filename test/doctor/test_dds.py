# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from shadowtutor_ros.dds import active_profile, FASTDDS, NONE, profile_environment, ZENOH
from shadowtutor_ros.doctor.dds import judge_profile, judge_version, library_version, version
from shadowtutor_ros.doctor.finding import OK, SKIPPED, WARNING


def test_the_recommended_profile_is_fine_and_its_file_is_named() -> None:
    environment = profile_environment('fastdds', {})
    finding = judge_profile(active_profile(FASTDDS, environment))
    assert (finding.level, finding.found) == (
        OK, f'fastdds {environment["FASTRTPS_DEFAULT_PROFILES_FILE"]}')


def test_without_a_profile_the_fix_is_a_file_that_can_be_sourced() -> None:
    finding = judge_profile(active_profile(FASTDDS, profile_environment(NONE)))
    assert finding.level == WARNING
    command, file = finding.fix.split()[:2]
    assert command == 'source'
    assert Path(file).is_file()


def test_the_fast_dds_of_this_machine_is_found() -> None:
    if not os.environ.get('AMENT_PREFIX_PATH'):
        pytest.skip('no ROS in this environment')
    assert version(FASTDDS).level == OK
    assert version(ZENOH).level == SKIPPED


def test_that_of_wheels_is_found_where_their_environment_is_only_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('sys.prefix', str(tmp_path))
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / 'libfastrtps.so.2.14.5').touch()
    assert version(FASTDDS, {}).found == '2.14.5'
    assert version(FASTDDS, {'AMENT_PREFIX_PATH': '/nowhere'}).found == '2.14.5'


@pytest.mark.parametrize(('found', 'level'), [
    ((2, 6, 8), WARNING), ((2, 6, 9), OK), ((2, 14, 5), OK), ((3, 2, 2), OK), ((), SKIPPED)])
def test_packets_of_services_need_2_6_9(found: tuple[int, ...], level: str) -> None:
    finding = judge_version(found, 'humble')
    assert finding.level == level
    assert ('ros-humble-fastrtps' in finding.fix) == (level == WARNING)


@pytest.mark.parametrize(('library', 'expected'), [
    ('libfastrtps.so.2.14.5', (2, 14, 5)), ('libfastdds.so.3.2.2', (3, 2, 2)),
    ('libfastcdr.so.2.2.5', ()), ('libfastrtps.so.2.14', ())])
def test_the_version_is_read_from_the_librarys_name(
    tmp_path: Path, library: str, expected: tuple[int, ...],
) -> None:
    (tmp_path / 'lib').mkdir()
    (tmp_path / 'lib' / library).touch()
    assert library_version([Path('/nowhere'), tmp_path]) == expected
