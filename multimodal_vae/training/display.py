"""What a person sees while a model trains: live lines on a terminal, a line an epoch elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from multimodal_vae.objective import KL, METRIC


class Display:
    """Shows progress from the first batch on, losses by term, the rate and the time left.

    Args:
        epochs: how many there will be.
        batches: how many an epoch has.
        console: where; standard error where it is None.
        shown: False shows nothing.
    """

    def __init__(self, epochs: int, batches: int, console: Console | None = None, shown: bool = True) -> None:
        self.epochs = epochs
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.shown = shown
        self._started = time.monotonic()
        self._steps = 0
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("batches, {task.fields[rate]}/s, left"),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task = self._bar.add_task("", total=epochs * batches, epoch=1, rate="-")
        self._losses = Text("waiting for the first batch")
        self._live = Live(Group(self._bar, self._losses), console=self.console) if self._drawn else None

    @property
    def _drawn(self) -> bool:
        return self.shown and self.console.is_terminal

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
        self._bar.update(self._task, advance=1, epoch=epoch, rate=rate)
        self._losses.plain = _line(figures)

    def epoch(self, epoch: int, training: Mapping[str, float], validation: Mapping[str, float]) -> None:
        """Say what an epoch came to, where there is no terminal to draw on."""
        if self.shown and not self._drawn:
            rate = self._steps / (time.monotonic() - self._started)
            checked = f" | validation {_line(validation)}" if validation else ""
            self.console.print(
                f"epoch {epoch}/{self.epochs}: {_line(training)}{checked} | {rate:.2f} batches/s",
                markup=False,
                highlight=False,
            )


def _line(figures: Mapping[str, float]) -> str:
    names = {KL: "KL", METRIC: "metric"}
    return ", ".join(
        f"{names.get(key, key.removeprefix('reconstruction.'))} {value:.4f}" for key, value in figures.items()
    )
