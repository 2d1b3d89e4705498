# SPDX-License-Identifier: Apache-2.0
"""Interfaces and multicast, tried with a packet of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import fcntl
import os
import socket
import struct

from shadowtutor_ros.doctor.finding import BOTH, Finding, OK, PROBLEM, SKIPPED, WARNING

INTERFACES, MULTICAST = 'interfaces', 'multicast'
# linux/sockios.h and linux/if.h
_GET_FLAGS, _GET_ADDRESS = 0x8913, 0x8915
_UP, _LOOPBACK, _RUNNING, _MULTICAST = 0x1, 0x8, 0x40, 0x1000
_GROUP = '239.255.0.1'  # by which DDS participants find each other
_TRIES, _WAIT = 3, 0.5  # seconds
_FIREWALL = ('sudo ufw allow in proto udp to 224.0.0.0/4 && '
             'sudo ufw allow in proto udp from 224.0.0.0/4   # if ufw is the firewall')
_PEERS = ('export ROS_STATIC_PEERS=ADDRESS   # of the other machine, on both: does without '
          'multicast (Iron or later)')


@dataclass(frozen=True)
class Interface:
    """A network interface with its flags (``IFF_...``) and IPv4 address, empty if it has none."""

    name: str
    flags: int
    address: str = ''

    def has(self, *flags: int) -> bool:
        """Say whether all ``flags`` are set."""
        return all(self.flags & flag for flag in flags)


def read_interfaces() -> list[Interface]:
    """Return the interfaces of this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        return [_interface(asked, name) for _, name in socket.if_nameindex()]


def interfaces(role: str) -> Finding:
    """Say which interfaces nodes of another machine can be reached by."""
    return judge_interfaces(read_interfaces(), role)


def judge_interfaces(found: Sequence[Interface], role: str) -> Finding:
    """Judge interfaces: one must be up, have an IPv4 address and take multicast."""
    usable = [i for i in found if _usable(i)]
    if not usable:
        down = next((i.name for i in found if not (i.has(_UP) or i.has(_LOOPBACK))), 'NAME')
        return Finding(WARNING if role == BOTH else PROBLEM, INTERFACES,
                       'none is up with an IPv4 address: no other machine is reached',
                       f'ip -br address; sudo ip link set {down} up   # or connect its network')
    text = ', '.join(f'{i.name} {i.address}' for i in usable)
    if deaf := [i.name for i in usable if not i.has(_MULTICAST)]:
        return Finding(WARNING, INTERFACES, f'{text}; no multicast on {", ".join(deaf)}',
                       '\n'.join(f'sudo ip link set {name} multicast on' for name in deaf))
    return Finding(OK, INTERFACES, text)


def multicast(needed: bool, role: str) -> Finding:
    """Send a packet to the group of DDS by the default way, and wait for it."""
    if not needed:
        return Finding(SKIPPED, MULTICAST, 'nodes find each other without it')
    try:
        address = default_address()
    except OSError as error:
        return judge_multicast('', str(error), role)
    name = next((i.name for i in read_interfaces() if i.address == address), address)
    return judge_multicast(name, '' if echoes(address) else 'the packet did not come back',
                           role)


def judge_multicast(name: str, error: str, role: str) -> Finding:
    """Judge by the interface of the default way, empty if there is none, and what went wrong."""
    if not name:
        return Finding(WARNING if role == BOTH else PROBLEM, MULTICAST,
                       f'no way to {_GROUP}: {error}',
                       'ip -br address; sudo ip route add 239.0.0.0/8 dev NAME')
    if error:
        return Finding(PROBLEM, MULTICAST, f'{_GROUP} on {name}: {error}, so nodes do not find '
                       'each other', f'{_FIREWALL}\nor: {_PEERS}')
    return Finding(OK, MULTICAST, f'a packet to {_GROUP} came back on {name}; whether the network '
                   'hands it on is seen with --graph while the other machine runs')


def default_address() -> str:
    """Return the own address from which multicast goes out; raise OSError without a way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((_GROUP, 7400))  # sends nothing
        return str(sender.getsockname()[0])


def echoes(address: str) -> bool:
    """Say whether a packet to the group, sent from ``address``, is also received there."""
    own, token = socket.inet_aton(address), os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.bind((_GROUP, 0))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                            socket.inet_aton(_GROUP) + own)
        receiver.settimeout(_WAIT)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        for _ in range(_TRIES):
            try:
                sender.sendto(token, receiver.getsockname())
                if receiver.recv(len(token)) == token:
                    return True
            except OSError:  # refused by a firewall, or nothing came
                continue
    return False


def _usable(interface: Interface) -> bool:
    return bool(interface.address) and interface.has(_UP, _RUNNING) \
        and not interface.has(_LOOPBACK)


def _interface(asked: socket.socket, name: str) -> Interface:
    request = struct.pack('16s24x', name.encode())
    flags = struct.unpack_from('H', fcntl.ioctl(asked, _GET_FLAGS, request), 16)[0]
    try:
        address = socket.inet_ntoa(fcntl.ioctl(asked, _GET_ADDRESS, request)[20:24])
    except OSError:
        address = ''
    return Interface(name, flags, address)
