"""What a person sees on a terminal while a model trains."""

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


class Display:
    """Shows progress from the first batch on, losses by term, rate, memory and time left; nothing without a terminal.

    Args:
        epochs: how many there will be.
        batches: how many an epoch has.
        device: whose memory.
        console: where; standard error where it is None.
        shown: False shows nothing.
        done: batches that were trained before, where a training goes on.
    """

    def __init__(
        self,
        epochs: int,
        batches: int,
        device: torch.device,
        console: Console | None = None,
        shown: bool = True,
        done: int = 0,
    ) -> None:
        self._device = device
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._started = time.monotonic()
        self._steps = 0
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("batches, {task.fields[rate]}/s{task.fields[memory]}, left"),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task = self._bar.add_task(
            "", total=epochs * batches, completed=done, epoch=1 + done // batches, rate="-", memory=""
        )
        self._losses = Text("waiting for the first batch")
        drawn = shown and self.console.is_terminal
        self._live = Live(Group(self._bar, self._losses), console=self.console) if drawn else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def batch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Show one training step."""
        self._steps += 1
        rate = f"{self._steps / (time.monotonic() - self._started):.2f}"
        peak = peak_gib(self._device)
        memory = "" if peak is None else f", {peak:.2f} GiB"
        self._bar.update(self._task, advance=1, epoch=epoch, rate=rate, memory=memory)
        self._losses.plain = metrics_line(figures)
