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


class Console(Logger):
    """Print one line per epoch on standard error, unless that is a terminal or a notebook, which shows progress."""

    displays_progress = True

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Start the clock."""
        training = configuration["training"]
        self._epochs, self._steps = training.get("epochs"), training.get("steps")
        self._precision = training.get("precision", "float32")
        self._start, self._start_step = time.monotonic(), 0

    def rewind(self, step: int) -> None:
        """Count the rate of batches from this step."""
        self._start_step = step

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Print the line."""
        screen = Screen(stderr=True, soft_wrap=True)
        if can_redraw(screen):
            return
        validation = metrics_line(values, "validation.")
        validation = f" | validation {validation}" if validation else ""
        place = f"step {step}/{self._steps}" if self._steps else f"epoch {values['epoch']}/{self._epochs}"
        rate = (step - self._start_step) / (time.monotonic() - self._start)
        memory = f" | {values[MEMORY]:.2f} GiB" if MEMORY in values else ""
        screen.print(
            f"{place}: {metrics_line(values, 'training.')}{validation} | "
            f"{rate:.2f} batches/s in {self._precision}{memory}",
            markup=False,
            highlight=False,
        )


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
