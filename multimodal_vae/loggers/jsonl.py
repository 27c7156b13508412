"""Figures as lines of JSON in the run's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.files import append_line, write_bytes
from multimodal_vae.loggers.base import Logger

_MACHINE = "machine."
_FILES = ("log.jsonl", "timing.jsonl")


class JSONLines(Logger):
    """A line an epoch in ``log.jsonl``; time and memory go to ``timing.jsonl``, so that equal runs leave equal logs.

    Where the run leaves no folder there is nothing to write.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Remember the folder."""
        self._folder = folder

    def rewind(self, step: int) -> None:
        """Drop lines of later steps, and a last one that was cut short."""
        for name in _FILES:
            if self._folder is not None and (self._folder / name).exists():
                lines = (self._folder / name).read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= step]
                write_bytes(self._folder / name, b"".join(kept))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to each file.

        Raises:
            RunError: if it cannot be written.
        """
        if self._folder is None:
            return
        figures = {"step": step} | {key: value for key, value in values.items() if not key.startswith(_MACHINE)}
        machine = {"step": step} | {key: value for key, value in values.items() if key.startswith(_MACHINE)}
        for name, line in zip(_FILES, (figures, machine), strict=True):
            append_line(self._folder / name, json.dumps(line))
