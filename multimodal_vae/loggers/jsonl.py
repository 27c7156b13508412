"""Figures as lines of JSON in the run's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.loggers.base import Logger

_CLOCK = "clock."


class JSONLines(Logger):
    """A line an epoch in ``log.jsonl``; clocks go to ``timing.jsonl``, so that equal runs leave equal logs.

    Where the run leaves no folder there is nothing to write.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Remember the folder."""
        self._folder = folder

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to each file."""
        if self._folder is None:
            return
        figures = {"step": step} | {key: value for key, value in values.items() if not key.startswith(_CLOCK)}
        clocks = {"step": step} | {key: value for key, value in values.items() if key.startswith(_CLOCK)}
        for name, line in (("log.jsonl", figures), ("timing.jsonl", clocks)):
            with open(self._folder / name, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
