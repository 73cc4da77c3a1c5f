"""Keep freed memory in the process from one batch to the next."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

#: Options of glibc's `mallopt` (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


@cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the next batch.

    By default glibc asks the operating system for the memory of every large tensor and returns it
    when the tensor is freed. The system fills each page with zeros before it is used again, which
    took as long as the arithmetic itself in predictions of large batches. The peak of the memory
    use stays the same, but the process keeps this memory until it ends. Results and the memory of a
    GPU are not affected. Nothing is changed if the program uses another C library or another
    allocator.

    Returns:
        Whether the C library accepted this.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never_trim = mallopt(_TRIM_THRESHOLD, -1)
    never_map = mallopt(_MMAP_MAX, 0)
    return bool(never_trim and never_map)
