"""Print metrics where progress cannot be drawn."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console as Screen

from multimodal_vae.errors import printable
from multimodal_vae.loggers.base import MEMORY, Logger
from multimodal_vae.objective import KL, METRIC
from multimodal_vae.progress import can_redraw

_NAMES = {KL: "KL", METRIC: "metric"}


GROWTH, SHARE = 1.5, 1 / 20
"""A line is printed when the training has grown by this factor since the last one, or by this share of the whole."""


class Console(Logger):
    """Print a line on standard error now and then, unless that is a terminal or a notebook, which shows progress.

    A line is printed for the first and the last epoch, and between them whenever the number of epochs has grown by half
    or by a twentieth of the whole since the last line: some twenty to thirty lines, of which the first come soon.
    """

    displays_progress = True
    _waiting = ""

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Start the clock."""
        training = configuration["training"]
        self._epochs, self._steps = training.get("epochs"), training.get("steps")
        self._precision = training.get("precision", "float32")
        self._start, self._start_step = time.monotonic(), 0
        self._printed = 0.0

    def rewind(self, step: int) -> None:
        """Count the rate of batches from this step."""
        self._start_step = step

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Print the line, or keep it until the training goes on or ends."""
        validation = metrics_line(values, "validation.")
        validation = f" | validation {validation}" if validation else ""
        done, whole, unit = (step, self._steps, "step") if self._steps else (values["epoch"], self._epochs, "epoch")
        rate = (step - self._start_step) / (time.monotonic() - self._start)
        memory = f" | {values[MEMORY]:.2f} GiB" if MEMORY in values else ""
        self._waiting = (
            f"{unit} {done}/{whole}: {metrics_line(values, 'training.')}{validation} | "
            f"{rate:.2f} batches/s in {self._precision}{memory}"
        )
        if done >= min(GROWTH * self._printed, self._printed + SHARE * whole):
            self._printed = done
            self._print()

    def close(self) -> None:
        """Print the line of the last epoch, unless it is printed."""
        self._print()

    def _print(self) -> None:
        screen = Screen(stderr=True, soft_wrap=True)
        if self._waiting and not can_redraw(screen):
            screen.print(self._waiting, markup=False, highlight=False)
        self._waiting = ""


def metrics_line(values: Mapping[str, float], prefix: str = "") -> str:
    """Return the metrics whose names start with a prefix, as one line; a loss of one term is shown once.

    Example:
        >>> metrics_line({"training.kl": 1.25, "training.reconstruction.image": 0.5, "epoch": 3}, "training.")
        'KL 1.2500, image 0.5000'
        >>> metrics_line({"loss": 0.5, "refinement.image": 0.5})
        'loss 0.5000'
    """
    terms = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    if "loss" in terms and len(terms) == 2 and len(set(terms.values())) == 1:
        terms = {"loss": terms["loss"]}
    return ", ".join(
        f"{_NAMES.get(term, printable(term.removeprefix('reconstruction.')))} {value:.4f}"
        for term, value in terms.items()
    )
