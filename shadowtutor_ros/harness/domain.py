# SPDX-License-Identifier: Apache-2.0
"""ROS domains of this machine, each for one user at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import errno
import itertools
import os
import socket

from shadowtutor_ros.errors import ShadowTutorError

# Not 0, where everybody is who chose none; above 101 ports are among those that Linux hands out.
DOMAINS = range(1, 102)
# A domain that was left last is taken last: somebody may still be about to leave it.
_NEXT = itertools.count(os.getpid())
_CLAIM = 'shadowtutor_ros/domain'
# Above the first of a domain's UDP ports: what all its participants share, and what each has.
_OFFSETS = 0, *range(10, 74, 2)


class NoFreeDomain(ShadowTutorError):
    """Every ROS domain of this machine is in use."""


@contextmanager
def own_domain() -> Iterator[int]:
    """
    Yield the id of a ROS domain where nobody is and that nobody else gets from here meanwhile.

    The claim ends with the process, however that ends. Raise NoFreeDomain.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        start = next(_NEXT)
        for offset in range(len(DOMAINS)):
            domain = DOMAINS[(start + offset) % len(DOMAINS)]
            # A name of Linux's abstract namespace, which goes with its socket.
            if not _inhabited(domain) and _bind(claim, f'\0{_CLAIM}/{domain}'):
                break
        else:
            raise NoFreeDomain(f'expected a free ROS domain from {DOMAINS[0]} to {DOMAINS[-1]}, '
                               'all are in use on this machine')
        yield domain


def _inhabited(domain: int) -> bool:
    """Say whether a DDS participant of this machine is there, whoever started it."""
    for offset in _OFFSETS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
            if not _bind(port, ('', 7400 + 250 * domain + offset)):
                return True
    return False


def _bind(to: socket.socket, address: str | tuple[str, int]) -> bool:
    try:
        to.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
