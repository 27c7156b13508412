"""Peak memory of a training."""

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
