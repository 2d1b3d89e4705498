# SPDX-License-Identifier: Apache-2.0
"""Keep the memory of one frame for the next."""

from __future__ import annotations

import ctypes

# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> bool:
    """
    Let malloc keep what is freed instead of handing it back to the kernel; say whether it does.

    A network frees and takes the same large tensors with every frame. Given back, each page of
    them costs a page fault when it is touched again: a third and more of a frame's time. Needs
    glibc; holds for the whole process, so call it at the start.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(option, value) for option, value in (
        (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20),
        # Threads' own arenas are small and fall back on the kernel.
        (_ARENA_MAX, 1)))
