# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while libraries are imported, which make of an exception whatever they like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
import signal

INTERRUPTED = 130  # exit status of a command, as a shell has it


@contextmanager
def ending_at_once(status: int) -> Iterator[None]:
    """Let an interrupt end the process with ``status``, whoever would catch the exception."""
    handler = signal.signal(signal.SIGINT, lambda number, frame: os._exit(status))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


class Interrupts:
    """
    As a context manager it raises KeyboardInterrupt as usual, and remembers in ``came`` that
    it did.

    An exception that comes after that may be what somebody made of it.
    """

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Interrupts:
        self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self._handler)

    def _interrupt(self, number: int, frame: object) -> None:
        self.came = True
        raise KeyboardInterrupt
