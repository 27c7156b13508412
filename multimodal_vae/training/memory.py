"""Peak memory of a training, and memory that it keeps from step to step."""

import ctypes
import sys

import torch

_GIB = 1024**3


def peak_gib(device: torch.device) -> float | None:
    """Return the peak memory so far, in GiB; None where the system does not report it, as on Windows.

    Args:
        device: on CUDA, the peak that torch reserved on the device, its cache included: what the card must have. On any
            other device, the peak of this process; on Linux it includes the peak of the parent process at the start.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / _GIB
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _GIB  # bytes on macOS, KiB elsewhere


_TRIM, _TOP, _MAPPED = -1, -2, -3
"""M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next step; return whether it can, as glibc on Linux.

    By default, it returns large blocks to the system at once, which then has to clear thousands of pages for each step:
    a tenth of the time of a small network. The peak stays the same; what is kept is at most a gibibyte.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no library without a name
        return False
    # 32 MiB is the largest threshold that glibc takes.
    options = ((_TRIM, 2**30), (_TOP, 2**26), (_MAPPED, 2**25))
    return all(mallopt(option, size) == 1 for option, size in options)
