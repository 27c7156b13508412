"""Live progress on a terminal while a model trains."""

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
from multimodal_vae.training.memory import peak_gib
from multimodal_vae.training.settings import Length


class Display:
    """Progress bar with losses by term, rate, memory and time left; nothing where there is no terminal.

    Args:
        length: length of the training.
        device: device whose memory is shown.
        console: console to draw on. Default: standard error.
        show: whether to draw anything.
        done: number of batches trained before a resume.
    """

    def __init__(
        self,
        length: Length,
        device: torch.device,
        console: Console | None = None,
        show: bool = True,
        done: int = 0,
    ) -> None:
        self._device = device
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._started = time.monotonic()
        self._batches = 0
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
        live = show and self.console.is_terminal
        self._live = Live(Group(self._bar, self._losses), console=self.console) if live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show the metrics of one more batch."""
        self._batches += 1
        rate = f"{self._batches / (time.monotonic() - self._started):.2f}"
        peak = peak_gib(self._device)
        memory = "" if peak is None else f", {peak:.2f} GiB"
        self._bar.update(self._task, advance=1, epoch=epoch, rate=rate, memory=memory)
        self._losses.plain = metrics_line(metrics)
