"""Figures for whoever waits, where there is no terminal to draw progress on."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console as Screen

from multimodal_vae.loggers.base import MEMORY, Logger
from multimodal_vae.objective import KL, METRIC

_NAMES = {KL: "KL", METRIC: "metric"}


class Console(Logger):
    """A line an epoch on standard error; none on a terminal, where progress is drawn instead."""

    shows = True

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Start the clock."""
        self._epochs = configuration["training"]["epochs"]
        self._precision = configuration["training"].get("precision", "float32")
        self._started, self._begun = time.monotonic(), 0

    def rewind(self, step: int) -> None:
        """Count the rate from here."""
        self._begun = step

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Print the line."""
        screen = Screen(stderr=True, soft_wrap=True)
        if screen.is_terminal:
            return
        validation = figures_line(values, "validation.")
        checked = f" | validation {validation}" if validation else ""
        rate = (step - self._begun) / (time.monotonic() - self._started)
        memory = f" | {values[MEMORY]:.2f} GiB" if MEMORY in values else ""
        screen.print(
            f"epoch {values['epoch']}/{self._epochs}: {figures_line(values, 'training.')}{checked} | "
            f"{rate:.2f} batches/s in {self._precision}{memory}",
            markup=False,
            highlight=False,
        )


def figures_line(values: Mapping[str, float], prefix: str = "") -> str:
    """Figures whose names begin with a prefix, as one readable line.

    Example:
        >>> figures_line({"training.kl": 1.25, "training.reconstruction.ecg": 0.5, "epoch": 3}, "training.")
        'KL 1.2500, ecg 0.5000'
    """
    terms = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    return ", ".join(
        f"{_NAMES.get(term, term.removeprefix('reconstruction.'))} {value:.4f}" for term, value in terms.items()
    )
