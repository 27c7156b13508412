"""Live progress on a terminal or in a notebook while a model trains."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from multimodal_vae.loggers.console import metrics_line
from multimodal_vae.notebook import CellOutput
from multimodal_vae.training.memory import peak_gib
from multimodal_vae.training.settings import Length

FIRST, LAST = 2, 10
"""Batches between which the time of a batch is measured; the first ones also load libraries."""


class Display:
    """One line with the cost of the training after a few batches, and on a terminal or in a notebook a progress bar.

    The bar shows losses by term, rate, memory and time left. One line stays in a notebook: batches, time and losses.

    Args:
        length: length of the training.
        device: device whose memory is shown.
        console: console to draw on. Default: standard error.
        show: whether to draw anything.
        done: number of batches trained before a resume.
        stopping: name of the metric that may end the training earlier, if any.
        what: what is trained.
    """

    def __init__(
        self,
        length: Length,
        device: torch.device,
        console: Console | None = None,
        show: bool = True,
        done: int = 0,
        stopping: str | None = None,
        what: str = "the training",
    ) -> None:
        self._device, self._show, self._stopping, self._what = device, show, stopping, what
        self._left, self._length = length.batches - done, length
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._started = time.monotonic()
        self._batches = 0
        self._measured: tuple[float, int] | None = None
        self._said = False
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(length.epochs)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("batches, {task.fields[rate]}/s{task.fields[memory]}, left"),
            TimeRemainingColumn(),
            expand=True,
        )
        epoch = 1 + done // length.per_epoch
        self._task = self._bar.add_task("", total=length.batches, completed=done, epoch=epoch, rate="-", memory="")
        self._losses = Text("waiting for the first batch")
        live = show and self.console.is_terminal and not self.console.is_jupyter
        self._live = Live(Group(self._bar, self._losses), console=self.console) if live else None
        self._output: CellOutput | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        elif self._show and self.console.is_jupyter:
            self._output = CellOutput(Group(self._bar, self._losses))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._output:
            task, time_taken = self._bar.tasks[0], duration(time.monotonic() - self._started)
            done = f"{task.completed:,.0f} of {task.total:,.0f} batches"
            self._output.close(f"{self._what}: {done} in {time_taken}; {self._losses.plain}")

    def update(self, epoch: int, metrics: Mapping[str, float], batches: int = 1) -> None:
        """Show the metrics of the last one of some more batches."""
        self._batches += batches
        now = time.monotonic()
        if self._measured is None:
            self._measured = (now, self._batches) if self._batches >= FIRST else None
        elif self._batches >= LAST and self._show and not self._output and not self._said:
            started, first = self._measured
            seconds = (now - started) / (self._batches - first) * (self._left - self._batches)
            self.console.print(self._cost(seconds), highlight=False, markup=False)
            self._said = True
        rate = f"{self._batches / (time.monotonic() - self._started):.2f}"
        peak = peak_gib(self._device)
        memory = "" if peak is None else f", {peak:.2f} GiB"
        self._bar.update(self._task, advance=batches, epoch=epoch, rate=rate, memory=memory)
        self._losses.plain = metrics_line(metrics)
        if self._output:
            self._output.refresh()

    def chose(self, epoch: int, epochs: int, value: float) -> None:
        """Say which epoch's weights the model has, of how many trained, and the metric that chose them."""
        if self._show and not self.console.is_jupyter:
            said = (
                f"the model has the weights of epoch {epoch} of {epochs}, with the best {self._stopping}, {value:.4f}"
            )
            self.console.print(said, highlight=False, markup=False)

    def _cost(self, seconds: float) -> str:
        """Return what the rest of the training costs, given its time."""
        peak = peak_gib(self._device)
        memory = "" if peak is None else f", with {peak:.2f} GiB of memory so far"
        earlier = f"; it ends earlier once {self._stopping} has settled" if self._stopping else ""
        most = "at most " if self._stopping else ""
        return (
            f"{self._what} takes {most}about {duration(seconds)} on this machine ({self._length.steps} steps){memory}"
            f"{earlier}"
        )


def duration(seconds: float) -> str:
    """Return a time as people say it.

    Example:
        >>> [duration(seconds) for seconds in (8, 754, 12_000)]
        ['8 s', '13 min', '3.3 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
