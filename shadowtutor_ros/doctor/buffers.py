# SPDX-License-Identifier: Apache-2.0
"""What the kernel gives a socket, beside what the DDS profile asks for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
import socket
from xml.etree import ElementTree

from shadowtutor_ros.dds import CUSTOM, NONE, Profile
from shadowtutor_ros.doctor.finding import Finding, OK, SKIPPED, WARNING
from shadowtutor_ros.share import config_folder

RECEIVE, SEND, FRAGMENTS = 'receive buffer', 'send buffer', 'IP fragments'
_OPTIONS = {RECEIVE: (socket.SO_RCVBUF, 'net.core.rmem_max'),
            SEND: (socket.SO_SNDBUF, 'net.core.wmem_max')}
_ELEMENTS = {RECEIVE: ('listenSocketBufferSize', 'receiveBufferSize'),
             SEND: ('sendSocketBufferSize', 'sendBufferSize')}
_IPV4 = Path('/proc/sys/net/ipv4')
# What ROS 2's page on DDS tuning advises for links that lose fragments.
_FRAGMENT_SECONDS, _FRAGMENT_BYTES = 3, 128 << 20


def buffer(what: str, profile: Profile) -> Finding:
    """Ask the kernel for the buffer (RECEIVE or SEND) that ``profile`` will ask for."""
    asked = asked_bytes(what, None if profile.name == NONE else profile.path)
    if not asked:
        return Finding(SKIPPED, what, 'the DDS profile takes what the system gives')
    return judge_buffer(what, asked, granted_bytes(what, asked))


def asked_bytes(what: str, path: Path | None) -> int:
    """
    Return the bytes that a Fast DDS profile asks for, 0 for none.

    Without a profile, and for other middlewares' files, it is the recommended profile that counts.
    """
    root = ElementTree.parse(config_folder() / 'dds' / 'fastdds.xml').getroot()
    with suppress(OSError, ElementTree.ParseError):
        own = ElementTree.parse(path or '').getroot()
        root = own if own.tag.endswith(('dds', 'profiles')) else root
    return max((int(found.text or 0) for name in _ELEMENTS[what]
                for found in root.findall(f'.//{{*}}{name}')), default=0)


def granted_bytes(what: str, asked: int) -> int:
    """Return what a UDP socket gets of ``asked`` bytes."""
    option, _ = _OPTIONS[what]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, option, asked)
        return tried.getsockopt(socket.SOL_SOCKET, option) // 2  # the kernel says twice as much


def judge_buffer(what: str, asked: int, granted: int) -> Finding:
    """Judge by the bytes that were asked for and granted."""
    name = _OPTIONS[what][1]
    if granted < asked:
        return Finding(
            WARNING, what, f'{granted} of the {asked} bytes that DDS profiles ask for: what comes '
            'at once beyond that is lost', _sysctl(what.split()[0], {name: asked}))
    return Finding(OK, what, f'{granted} bytes, as DDS profiles ask for')


def fragments(profile: Profile, folder: Path = _IPV4) -> Finding:
    """Read what the kernel does with datagrams of which a fragment is missing."""
    try:
        seconds, size = (int((folder / name).read_text())
                         for name in ('ipfrag_time', 'ipfrag_high_thresh'))
    except FileNotFoundError as error:
        return Finding(SKIPPED, FRAGMENTS, f'{error.filename} is not there')
    return judge_fragments(profile.name, seconds, size)


def judge_fragments(profile: str, seconds: int, size: int) -> Finding:
    """
    Judge the kernel's patience for datagrams of more than one packet.

    They matter where the DDS profile does not keep its datagrams to one packet.
    """
    found = f'kept {seconds} s in {size} bytes'
    if profile not in (NONE, CUSTOM, 'lab'):
        return Finding(OK, FRAGMENTS, f'{found}; key frames and weights go in single packets')
    wanted = {'net.ipv4.ipfrag_time': _FRAGMENT_SECONDS} if seconds > _FRAGMENT_SECONDS else {}
    if size < _FRAGMENT_BYTES:
        wanted['net.ipv4.ipfrag_high_thresh'] = _FRAGMENT_BYTES
    if wanted:
        return Finding(
            WARNING, FRAGMENTS, f'{found}: on a link that loses packets broken datagrams fill '
            'that, and nothing large arrives; a DDS profile of config/dds cures more',
            _sysctl('fragments', wanted))
    return Finding(OK, FRAGMENTS, found)


def _sysctl(topic: str, wanted: dict[str, int]) -> str:
    lines = '\\n'.join(f'{name} = {value}' for name, value in wanted.items())
    file = f'/etc/sysctl.d/60-shadowtutor-{topic}.conf'
    return (f"printf '{lines}\\n' | sudo tee {file} && sudo sysctl -p {file}"
            '   # for a container: on its host')
