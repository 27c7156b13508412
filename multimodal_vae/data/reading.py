"""Read manifest cells into arrays: in this process, and in several once reading proves slow."""

import json
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from functools import lru_cache
from itertools import cycle
from multiprocessing import current_process
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal_vae import registry
from multimodal_vae.checks import real_numbers
from multimodal_vae.data.worker import start
from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality

Source = str | Path
"""Argument of a modality's ``read``: a path, or a cell's text."""

WORTHWHILE = 10.0
"""Expected seconds of further reading above which worker processes are started; each takes about 3 s to start."""

_TRIAL = 0.5
"""Seconds of reading after which that expectation is computed."""

_QUEUED = 32
"""Cells per worker process that are read ahead."""

_BLOCK = 256
"""Most samples that are checked together."""

_BLOCK_BYTES = 1 << 16
"""Most bytes of these samples."""

_BLOCK_SECONDS = 0.01
"""Seconds of reading after which they are checked, so that slow cells are stored one by one."""


class ReadResult(NamedTuple):
    """Result of reading one cell.

    Attributes:
        sample: (*shape); None if the cell cannot be read.
        notes: counts of the changes that reading made to values.
        fault: why the cell cannot be read, as a predicate without its subject; empty if it can.
    """

    sample: NDArray[np.float32] | None
    notes: dict[str, int]
    fault: str = ""


def read(modality: Modality, source: Source) -> ReadResult:
    """Read one cell and check its sample."""
    return _checked(modality, _unchecked(modality, source))


def _unchecked(modality: Modality, source: Source) -> ReadResult:
    """Read one cell."""
    modality.notes.clear()
    try:
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, which check refuses
            sample = real_numbers(modality.read(source))
    except FileNotFoundError:
        return ReadResult(None, {}, "there is no such file")
    except OSError as error:
        return ReadResult(None, {}, f"cannot be read ({error.strerror})")
    except DataError as error:
        return ReadResult(None, {}, str(error))
    return ReadResult(sample, dict(modality.notes))


def _checked(modality: Modality, result: ReadResult) -> ReadResult:
    """Check the sample of one cell."""
    try:
        if result.sample is not None:
            modality.check(torch.from_numpy(result.sample)[None])
    except DataError as error:
        return ReadResult(None, {}, str(error))
    return result


def _all_checked(modality: Modality, results: list[ReadResult]) -> list[ReadResult]:
    """Check the samples of several cells: together, or one by one if one of them is at fault."""
    samples = [result.sample for result in results if result.sample is not None]
    if {sample.shape for sample in samples} == {modality.shape}:
        with suppress(DataError):
            modality.check(torch.from_numpy(np.stack(samples)))
            return results
    return [_checked(modality, result) for result in results]


def read_all(modality: Modality, sources: Sequence[Source], workers: int) -> Generator[ReadResult, None, None]:
    """Yield the result of each cell, in order.

    Args:
        modality: the modality of the cells.
        sources: the cells.
        workers: number of worker processes, started only if reading proves slow; with 0 or 1, or in a process that
            may not have children, this process reads all cells.

    Raises:
        DataError: if a worker process ends; the message names the cell that it was reading.
    """
    if current_process().daemon:
        workers = 0
    size = max(1, min(_BLOCK, _BLOCK_BYTES // (4 * modality.elements)))
    began = checked = time.monotonic()
    block: list[ReadResult] = []
    for done, source in enumerate(sources, start=1):
        block.append(_unchecked(modality, source))
        now, left = time.monotonic(), len(sources) - done
        spent = now - began
        slow = workers > 1 and spent >= min(_TRIAL, WORTHWHILE) and spent / done * left >= WORTHWHILE
        if slow or not left or len(block) == size or now - checked >= _BLOCK_SECONDS:
            yield from _all_checked(modality, block)
            block.clear()
            checked = time.monotonic()
        if slow and left:
            yield from _read_in_workers(modality, sources[done:], workers)
            return


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_in_workers(modality: Modality, sources: Sequence[Source], count: int) -> Iterator[ReadResult]:
    """Read cells in turn by pools of one process each, so that a broken pool identifies the cell at fault."""
    owner = registry.entry_of(type(modality))
    name = f"{owner.distribution}:{owner.name}" if owner else modality.name
    settings = json.dumps(modality.configuration | {"name": name})
    pending: deque[tuple[Source, Future[ReadResult | None]]] = deque()
    with ExitStack() as stack:
        pools = [stack.enter_context(_pool()) for _ in range(count)]
        stack.callback(lambda: [future.cancel() for _, future in pending])  # if the caller stops early
        for source, pool in zip(sources, cycle(pools), strict=False):
            pending.append((source, _submit(pool, settings, source)))
            if len(pending) >= count * _QUEUED:
                yield _result(modality, *pending.popleft())
        while pending:
            yield _result(modality, *pending.popleft())


def _pool() -> ProcessPoolExecutor:
    """Return a pool whose process does not import the caller's ``__main__``."""
    from joblib.externals.loky import ProcessPoolExecutor as LokyPool

    pool: ProcessPoolExecutor = LokyPool(1, initializer=start, env={"OMP_NUM_THREADS": "1"})
    return pool


def _submit(pool: ProcessPoolExecutor, settings: str, source: Source) -> "Future[ReadResult | None]":
    from joblib.externals.loky import BrokenProcessPool

    try:
        return pool.submit(_read_in_worker, settings, source)
    except BrokenProcessPool as error:  # raised in its turn: an earlier cell may be the one at fault
        future: Future[ReadResult | None] = Future()
        future.set_exception(error)
        return future


def _result(modality: Modality, source: Source, future: "Future[ReadResult | None]") -> ReadResult:
    from joblib.externals.loky import BrokenProcessPool

    try:
        result = future.result()
    except BrokenProcessPool as error:
        raise DataError(
            f"the process that read {source} ended, by a crash or for lack of memory; set workers = 0 to read in this "
            "process"
        ) from error
    return read(modality.clone(), source) if result is None else result


def _read_in_worker(settings: str, source: Source) -> ReadResult | None:
    """Read one cell; None if the modality raises anything but a fault of the cell, so that the caller meets it."""
    try:
        return read(_modality(settings), source)
    except Exception:  # noqa: BLE001  (raised again where the caller reads the cell itself)
        return None


@lru_cache(maxsize=1)
def _modality(settings: str) -> Modality:
    return Modality.of(json.loads(settings))
