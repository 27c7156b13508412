"""How much memory a training takes."""

import sys

import torch

_GIB = 1024**3


def peak_gib(device: torch.device) -> float | None:
    """The most memory that was taken so far, in GiB; None where the system does not tell, as Windows.

    Args:
        device: on CUDA, what torch held of its memory, what it kept ready included: a smaller card would not do. On any
            other, what this process held of the machine's memory; on Linux it is never less than what the program that
            started it held at that moment.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / _GIB
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _GIB  # bytes on macOS, KiB everywhere else
