"""From manifest cells to arrays: in this process, and in several once it shows that it takes long."""

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality

Source = str | Path
"""What a modality's ``read`` takes: a path, or a cell's text."""

WORTH = 10.0
"""Seconds that the rest must be expected to take here before other processes are started, of some 3 s each."""

_SAMPLED = 0.5
"""Seconds of reading that the expectation is made from."""

_AT_ONCE = 16
"""Cells that a process is asked for at once."""


class ReadResult(NamedTuple):
    """What came of one cell.

    Attributes:
        sample: (*shape); None where there is a fault.
        notes: what reading did to the values, counted.
        fault: what is wrong with the cell, in a sentence without its subject; else empty.
    """

    sample: NDArray[np.float32] | None
    notes: dict[str, int]
    fault: str = ""


def read(modality: Modality, source: Source) -> ReadResult:
    """Read one cell and check it."""
    modality.notes.clear()
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused as not finite
            sample = np.array(modality.read(source), dtype=np.float32)
        modality.check(torch.as_tensor(sample)[None])
    except FileNotFoundError:
        return ReadResult(None, {}, "there is no such file")
    except OSError as error:
        return ReadResult(None, {}, f"cannot be read ({error.strerror})")
    except DataError as error:
        return ReadResult(None, {}, str(error))
    return ReadResult(sample, dict(modality.notes))


def read_all(modality: Modality, sources: Sequence[Source], workers: int) -> Generator[ReadResult, None, None]:
    """Read cells in their order.

    Args:
        modality: whose cells they are.
        sources: the cells.
        workers: processes to read with, once it is worth their start; 0 or 1 for this one alone.
    """
    began = time.monotonic()
    for done, source in enumerate(sources, start=1):
        yield read(modality, source)
        spent, left = time.monotonic() - began, len(sources) - done
        if workers > 1 and left and spent >= min(_SAMPLED, WORTH) and spent / done * left >= WORTH:
            yield from _read_elsewhere(modality, sources[done:], workers)
            return


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_elsewhere(modality: Modality, sources: Sequence[Source], count: int) -> Iterator[ReadResult]:
    """Read with several processes, with as many chunks on their way as keep them busy and no more."""
    from multimodal_vae.data.worker import Worker

    with ExitStack() as opened:
        idle: SimpleQueue[Worker] = SimpleQueue()
        threads = opened.enter_context(ThreadPoolExecutor(count))  # left last, so that no thread waits for an answer
        for worker in [opened.enter_context(Worker(modality)) for _ in range(count)]:
            idle.put(worker)

        def ask(chunk: Sequence[Source]) -> list[ReadResult]:
            worker = idle.get()
            try:
                return worker.read(chunk)
            finally:
                idle.put(worker)

        rest = iter(sources)
        pending = deque(threads.submit(ask, chunk) for chunk in _chunks(rest, 2 * count))
        while pending:
            readings = pending.popleft().result()
            pending.extend(threads.submit(ask, chunk) for chunk in _chunks(rest, 1))
            yield from readings


def _chunks(rest: Iterator[Source], count: int) -> Iterator[list[Source]]:
    for _ in range(count):
        chunk = list(islice(rest, _AT_ONCE))
        if chunk:
            yield chunk
