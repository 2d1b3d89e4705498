# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import subprocess

import pytest

from shadowtutor_ros.dds import CUSTOM, NONE, Profile
from shadowtutor_ros.doctor.buffers import (
    asked_bytes,
    buffer,
    fragments,
    granted_bytes,
    judge_buffer,
    judge_fragments,
    RECEIVE,
    SEND,
)
from shadowtutor_ros.doctor.finding import OK, SKIPPED, WARNING
from shadowtutor_ros.share import config_folder

DDS = config_folder() / 'dds'
MB4 = 4 << 20


@pytest.mark.parametrize(('name', 'receive', 'send'), [
    ('fastdds.xml', MB4, 0), ('fastdds3.xml', MB4, 0), ('fastdds-mtu.xml', MB4, 0),
    ('lab.xml', MB4, MB4), ('cyclonedds.xml', MB4, 0), ('missing.xml', MB4, 0)])
def test_a_profile_says_what_it_asks_for(name: str, receive: int, send: int) -> None:
    assert (asked_bytes(RECEIVE, DDS / name), asked_bytes(SEND, DDS / name)) == (receive, send)


def test_a_profile_of_ones_own_counts(tmp_path: Path) -> None:
    path = tmp_path / 'mine.xml'
    path.write_text('<dds xmlns="http://www.eprosima.com"><profiles><participant><rtps>'
                    '<sendSocketBufferSize>70000</sendSocketBufferSize></rtps></participant>'
                    '</profiles></dds>')
    assert (asked_bytes(RECEIVE, path), asked_bytes(SEND, path)) == (0, 70_000)
    assert buffer(RECEIVE, Profile(CUSTOM, path)).level == SKIPPED
    path.write_text('<dds')
    assert asked_bytes(RECEIVE, path) == MB4


@pytest.mark.parametrize('what', [RECEIVE, SEND])
def test_the_kernel_is_asked(what: str) -> None:
    assert granted_bytes(what, 8192) == 8192
    huge = 1 << 30
    assert granted_bytes(what, huge) < huge
    assert judge_buffer(what, huge, granted_bytes(what, huge)).level == WARNING
    assert buffer(RECEIVE, Profile(NONE)).level in (OK, WARNING)


@pytest.mark.parametrize(('what', 'name'), [
    (RECEIVE, 'net.core.rmem_max'), (SEND, 'net.core.wmem_max')])
def test_one_byte_too_few_is_a_warning(what: str, name: str) -> None:
    assert judge_buffer(what, MB4, MB4).level == OK
    finding = judge_buffer(what, MB4, MB4 - 1)
    assert finding.level == WARNING
    assert f'{name} = {MB4}' in finding.fix


@pytest.mark.parametrize(('profile', 'seconds', 'size', 'wanted'), [
    (NONE, 3, 134_217_728, []),
    (NONE, 4, 134_217_728, ['net.ipv4.ipfrag_time = 3']),
    (NONE, 3, 134_217_727, ['net.ipv4.ipfrag_high_thresh = 134217728']),
    (CUSTOM, 30, 4_194_304, ['net.ipv4.ipfrag_time = 3',
                             'net.ipv4.ipfrag_high_thresh = 134217728']),
    ('fastdds', 30, 4_194_304, []),
])
def test_fragments_matter_where_datagrams_are_large(
    profile: str, seconds: int, size: int, wanted: list[str],
) -> None:
    finding = judge_fragments(profile, seconds, size)
    assert finding.level == (WARNING if wanted else OK)
    printed = subprocess.run(['sh', '-c', finding.fix.split(' | ')[0]], capture_output=True,
                             text=True, check=True).stdout
    assert printed.splitlines() == wanted


def test_the_kernels_own_values_are_read(tmp_path: Path) -> None:
    assert fragments(Profile(NONE)).level in (OK, WARNING)
    assert fragments(Profile(NONE), tmp_path).level == SKIPPED
    (tmp_path / 'ipfrag_time').write_text('3\n')
    (tmp_path / 'ipfrag_high_thresh').write_text('134217728\n')
    assert fragments(Profile(NONE), tmp_path).found == 'kept 3 s in 134217728 bytes'
