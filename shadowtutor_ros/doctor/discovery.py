# SPDX-License-Identifier: Apache-2.0
"""Whether the environment lets robot and server find each other."""

from __future__ import annotations

from collections.abc import Mapping
import os

from shadowtutor_ros.dds import ZENOH
from shadowtutor_ros.doctor.finding import BOTH, Finding, OK, PROBLEM, SKIPPED, WARNING

DOMAIN, RANGE = 'ROS_DOMAIN_ID', 'discovery'
_ONLY, _RANGE, _PEERS = 'ROS_LOCALHOST_ONLY', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_STATIC_PEERS'
_SERVER = 'ROS_DISCOVERY_SERVER'
_SUBNET, _LOCALHOST, _OFF, _SYSTEM = 'SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT'


def domain(environment: Mapping[str, str] = os.environ) -> Finding:
    """Judge ROS_DOMAIN_ID, from which the UDP ports are computed."""
    text = environment.get(DOMAIN, '')
    fix = f'export {DOMAIN}=7   # 0 to 101, the same on robot and server'
    if not text:
        return Finding(OK, DOMAIN, 'not set: 0; robot and server need the same')
    if not text.isdecimal() or int(text) > 232:
        return Finding(PROBLEM, DOMAIN, f'expected 0 to 232, got {text!r}', fix)
    if 102 <= int(text) <= 214:
        return Finding(WARNING, DOMAIN, f'{text}: its ports are among those that Linux hands out '
                       'to programs', fix)
    return Finding(OK, DOMAIN, f'{int(text)}; robot and server need the same')


def reach(rmw: str, role: str, environment: Mapping[str, str] = os.environ) -> Finding:
    """
    Judge the variables of discovery as rcl reads them.

    What keeps nodes on this machine is a problem for ``role`` robot or server; both may be one
    machine. Humble knows ROS_LOCALHOST_ONLY alone, later ones let it go before all others.
    """
    if rmw == ZENOH:
        return Finding(SKIPPED, RANGE, f'{ZENOH} does not read these variables: '
                       'config/dds/zenoh.json5 says what it needs')
    wide, peers = environment.get(_RANGE) or _SUBNET, environment.get(_PEERS, '')
    alone = WARNING if role == BOTH else PROBLEM
    if environment.get(_ONLY) == '1':
        return Finding(alone, RANGE, f'{_ONLY}=1: nodes find each other on this machine only',
                       f'unset {_ONLY}')
    if environment.get('ROS_DISTRO') == 'humble':
        if peers:
            return Finding(
                WARNING, RANGE, f'{_PEERS} is set, but Humble does not read it',
                'name the other machine in initialPeersList, a comment in config/dds/fastdds.xml')
        return Finding(OK, RANGE, 'by multicast, on all interfaces')
    if wide not in (_SUBNET, _LOCALHOST, _OFF, _SYSTEM):
        return Finding(alone, RANGE, f'{_RANGE}={wide} is no such range: ROS takes '
                       f'{_LOCALHOST}', f'export {_RANGE}={_SUBNET}')
    if wide == _OFF:
        return Finding(PROBLEM, RANGE, f'{_RANGE}={_OFF}: no node finds another',
                       f'export {_RANGE}={_SUBNET}')
    if peers and any(mark in peers for mark in ', '):
        return Finding(PROBLEM, RANGE, f'{_PEERS}={peers}: addresses are separated by ;',
                       f"export {_PEERS}='{';'.join(peers.replace(',', ' ').split())}'")
    if wide == _LOCALHOST and not peers:
        return Finding(
            WARNING, RANGE, f'{_RANGE}={_LOCALHOST}: nodes of another machine are found only '
            f'if that one has this one in its {_PEERS}', f'export {_RANGE}={_SUBNET}')
    if peers:
        return Finding(OK, RANGE, f'{wide} and the machines {peers}')
    if environment.get(_SERVER):
        return Finding(OK, RANGE, f'by the discovery server {environment[_SERVER]}')
    return Finding(OK, RANGE, f'{wide}: by multicast, on all interfaces')


def needs_multicast(rmw: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether nodes of this environment can find others by multicast alone."""
    if rmw == ZENOH or environment.get(_SERVER) or environment.get(_ONLY) == '1':
        return False
    if environment.get('ROS_DISTRO') == 'humble':
        return True
    wide = environment.get(_RANGE) or _SUBNET
    return wide in (_SUBNET, _SYSTEM) and not environment.get(_PEERS)
