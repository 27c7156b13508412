"""Timing of functions in turn, in one process, so that other load on the machine slows all of them equally."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Time of a function, and its speedup over the first function.

    Attributes:
        seconds: median over the rounds.
        ratio: speedup over the first function, median of the rounds' ratios.
        low: lower quartile of the ratios.
        high: upper quartile of the ratios.
    """

    seconds: float
    ratio: float
    low: float
    high: float

    @property
    def speed(self) -> str:
        """The speedup with its quartiles, for a table."""
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


def alternate(functions: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, Timing]:
    """Time functions in turn for several rounds, after one round that warms up.

    Args:
        functions: by name; each is called with the number of the round. The first is the reference.
        rounds: number of timed rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function(number)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return compared(seconds)


def compared(seconds: Mapping[str, list[float]]) -> dict[str, Timing]:
    """Return timings from the seconds of each round by name; the first name is the reference."""
    first = next(iter(seconds.values()))
    return {name: _timing(own, [a / b for a, b in zip(first, own, strict=True)]) for name, own in seconds.items()}


def _timing(seconds: list[float], ratios: list[float]) -> Timing:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Timing(statistics.median(seconds), middle, low, high)


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def machine() -> str:
    """Return torch's version, threads and instruction set."""
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"bfloat16 {'in hardware' if has_bfloat16() else 'not in hardware'}"
    )


def print_machine() -> None:
    """Print the machine on standard error."""
    print(machine(), file=sys.stderr, flush=True)
