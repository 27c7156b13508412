"""The number of processor threads of a training: measured in trial steps, since more are not always faster."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Annotated, Literal

import torch
from pydantic import Field

Threads = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
"""Setting of the number of threads."""

LEAST_BATCHES = 200
"""Number of batches from which a training is worth the trial."""
_WARM, _TIMED = 2, 5
"""Steps of each number of threads before and while time is measured."""
_WORTH = 0.9
"""Share of the time of fewer threads that more threads may take; else the others would mostly wait."""


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Let torch compute with so many threads within a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def suitable_threads(take_step: Callable[[], object], most: int) -> int:
    """Return how many threads suit a step: twice as many as long as they take at most 90 % of the time.

    Args:
        take_step: takes one trial step.
        most: maximum number of threads.
    """
    number, fastest = 1, _seconds(take_step, 1)
    while number < most:
        more = min(2 * number, most)
        seconds = _seconds(take_step, more)
        if seconds > _WORTH * fastest:
            break
        number, fastest = more, seconds
    return number


def _seconds(take_step: Callable[[], object], number: int) -> float:
    """Return the median time of a step with so many threads."""
    times = []
    with use_threads(number):
        for _ in range(_WARM + _TIMED):
            started = time.perf_counter()
            take_step()
            times.append(time.perf_counter() - started)
    return median(times[_WARM:])
