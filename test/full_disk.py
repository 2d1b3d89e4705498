# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, for this process: no file gets longer than some bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
import resource


@contextmanager
def full_disk(nbytes: int) -> Iterator[None]:
    """Let every write beyond ``nbytes`` of a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
