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


class NoFreeDomain(ShadowTutorError):
    """Every ROS domain of this machine is in use."""


@contextmanager
def own_domain() -> Iterator[int]:
    """
    Yield the id of a ROS domain that nobody else on this machine gets from here meanwhile.

    The claim ends with the process, however that ends. Raise NoFreeDomain.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        yield _bind(claim)


def _bind(claim: socket.socket) -> int:
    """Return the domain whose name, in Linux's abstract namespace, ``claim`` could take."""
    start = next(_NEXT)
    for offset in range(len(DOMAINS)):
        domain = DOMAINS[(start + offset) % len(DOMAINS)]
        try:
            claim.bind(f'\0shadowtutor_ros/domain/{domain}')
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return domain
    raise NoFreeDomain(f'expected a free ROS domain from {DOMAINS[0]} to {DOMAINS[-1]}, '
                       'all are in use on this machine')
