"""How all of these are timed: in turn, in one process, so that whatever slows the machine slows all alike."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def alternate(
    functions: Mapping[str, Callable[[int], object]], rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Call each in turn with the number of the round, once more than asked to warm up.

    Returns:
        Median seconds of each, and how many times as fast as the first it is: the median of the rounds' ratios.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function(number)
            if number:
                seconds[name].append(time.perf_counter() - started)
    first = next(iter(seconds.values()))
    ratios = {name: [a / b for a, b in zip(first, own, strict=True)] for name, own in seconds.items()}
    return tuple({n: statistics.median(v) for n, v in each.items()} for each in (seconds, ratios))  # type: ignore[return-value]


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def print_machine() -> None:
    """Say what kind of machine it is, not which."""
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"bfloat16 {'in hardware' if has_bfloat16() else 'not in hardware'}",
        flush=True,
    )
