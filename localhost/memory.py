"""Keep large buffers in the process instead of returning each to the system and faulting it in again."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MEBIBYTE = 1 << 20
_LIMITS = ((_M_MMAP_THRESHOLD, 32 * _MEBIBYTE), (_M_TRIM_THRESHOLD, 64 * _MEBIBYTE), (_M_TOP_PAD, 16 * _MEBIBYTE))
"""32 MiB is the most that glibc takes for the first."""


def keep_large_buffers() -> None:
    """Tell glibc's allocator; other systems are left as they are."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for option, value in _LIMITS:
            mallopt(option, value)


def forget_startup_objects() -> None:
    """Take what was made while starting, modules above all, out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()
