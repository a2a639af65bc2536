"""The host's memory between the steps of a training on a CPU."""

from __future__ import annotations

import ctypes
import platform

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next step; returns whether the C library could be told so.

    A step frees some gigabytes and the next one allocates the same again. glibc gives blocks of more than 32 MB back to
    the kernel, which then maps and clears them page by page: nearly half of the time of a step (EXPERIMENTS.md).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1))
    )
