# SPDX-License-Identifier: Apache-2.0
"""Whether SROS 2 does what its variables say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import os
from pathlib import Path

from shadowtutor_ros.dds import ros_prefixes
from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, SKIPPED, WARNING

SECURITY = 'SROS 2'
_OF_SECURITY = b'dds.sec.auth.plugin'  # a property that only a Fast DDS with security knows


def security(rmw: str, environment: Mapping[str, str] = os.environ) -> Finding:
    """Judge the variables of SROS 2 and the Fast DDS of this shell."""
    if not rmw.startswith('rmw_fastrtps'):
        return Finding(SKIPPED, SECURITY, f'{rmw} is used')
    return judge_security(has_security(ros_prefixes(environment)), environment)


def has_security(prefixes: Iterable[Path]) -> bool | None:
    """Say whether the Fast DDS of the first prefix that has one was built with security."""
    for prefix in prefixes:
        for path in sorted((prefix / 'lib').glob('libfast*s.so.*.*.*')):
            return _OF_SECURITY in path.read_bytes()
    return None


def judge_security(built: bool | None, environment: Mapping[str, str]) -> Finding:
    """Judge by the variables and by whether Fast DDS was ``built`` with security."""
    able = {None: 'no Fast DDS where ROS is installed', True: 'this Fast DDS has it',
            False: 'this Fast DDS was built without it'}[built]
    if environment.get('ROS_SECURITY_ENABLE') != 'true':
        return Finding(OK, SECURITY, f'off; {able}')
    if built is False:
        return Finding(
            PROBLEM, SECURITY, f'ROS_SECURITY_ENABLE=true, but {able}: a node with an enclave '
            'does not start, and in the Permissive strategy one without starts unsecured',
            'use a ROS 2 that has it, as the apt packages of docs.ros.org\n'
            'or: unset ROS_SECURITY_ENABLE, and link_key_file (docs/security.md)')
    keystore = environment.get('ROS_SECURITY_KEYSTORE', '')
    if not Path(keystore, 'enclaves').is_dir():
        return Finding(PROBLEM, SECURITY, f'ROS_SECURITY_KEYSTORE={keystore}: expected a folder '
                       'with enclaves', 'ros2 security create_keystore ...   # docs/security.md')
    if (strategy := environment.get('ROS_SECURITY_STRATEGY', '')) != 'Enforce':
        return Finding(
            WARNING, SECURITY, f'ROS_SECURITY_STRATEGY={strategy}: a node whose enclave is '
            'missing starts unsecured', 'export ROS_SECURITY_STRATEGY=Enforce')
    return Finding(OK, SECURITY, f'Enforce, {keystore}')
