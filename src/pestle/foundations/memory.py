"""Memory that stays with the process between two batches."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

#: Options of glibc's `mallopt` (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, for the next batch; whether it could be told so.

    glibc asks the system for every large tensor anew and gives it back when it is freed. The
    system fills each page with zeros when it is touched again: in predictions of large batches
    that took as long as the arithmetic. The peak of the memory stays what it was; the process only
    holds on to it until its end. Numbers do not change, nor does the memory of a GPU. A program
    that has chosen another allocator, or another C library, is left as it is.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never_trim = mallopt(_TRIM_THRESHOLD, -1)
    never_map = mallopt(_MMAP_MAX, 0)
    return bool(never_trim and never_map)
