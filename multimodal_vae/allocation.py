"""How the C library keeps memory that a program frees."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings in ``malloc.h``."""

KEPT = 2**30
"""Bytes of freed memory that a process keeps, and of the largest piece that it keeps."""


def keep_freed_memory() -> None:
    """Let this process reuse freed memory up to :data:`KEPT`, in place of returning it to the system at once.

    Tensors of some megabytes come and go with each batch. By default, glibc asks the system for each anew, and the
    system clears its pages: up to a quarter of a command's time. Results do not change. Without glibc, nothing is done.

    Source: *mallopt(3)*, Linux man-pages.
    """
    if not sys.platform.startswith("linux"):
        return
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        for parameter in (TRIM_THRESHOLD, MMAP_THRESHOLD):
            setting(parameter, KEPT)
