"""How all of these are timed: in turn, in one process, so that whatever slows the machine slows all alike."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """How long something took, and how it stands to the first of those it was timed with.

    Attributes:
        seconds: median of the rounds.
        ratio: how many times as fast as the first it is: median of the rounds' ratios.
        low: lower quartile of these ratios.
        high: upper quartile.
    """

    seconds: float
    ratio: float
    low: float
    high: float

    @property
    def speed(self) -> str:
        """The ratio with its quartiles, for a table."""
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


def alternate(functions: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, Timing]:
    """Call each in turn with the number of the round, once more than asked to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function(number)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return compared(seconds)


def compared(seconds: Mapping[str, list[float]]) -> dict[str, Timing]:
    """Medians and ratios of what was timed round by round, the first being what the others are compared with."""
    first = next(iter(seconds.values()))
    return {name: _timing(own, [a / b for a, b in zip(first, own, strict=True)]) for name, own in seconds.items()}


def _timing(seconds: list[float], ratios: list[float]) -> Timing:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Timing(statistics.median(seconds), middle, low, high)


def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def machine() -> str:
    """What kind of machine it is."""
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"bfloat16 {'in hardware' if has_bfloat16() else 'not in hardware'}"
    )


def print_machine() -> None:
    """Say so beside the tables."""
    print(machine(), file=sys.stderr, flush=True)
