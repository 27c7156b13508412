"""Write metrics as lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.files import append_line, write_bytes
from multimodal_vae.loggers.base import Logger

_MACHINE = "machine."
_FILES = ("log.jsonl", "timing.jsonl")


class JSONLines(Logger):
    """Write one line per epoch to ``log.jsonl`` in the run's folder, if it has one.

    Time and memory are in ``timing.jsonl``, so that equal trainings write equal logs.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Set the folder."""
        self._folder = folder

    def rewind(self, step: int) -> None:
        """Remove the lines of later steps, and a last line that is incomplete."""
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
        metrics = {"step": step} | {key: value for key, value in values.items() if not key.startswith(_MACHINE)}
        machine = {"step": step} | {key: value for key, value in values.items() if key.startswith(_MACHINE)}
        for name, line in zip(_FILES, (metrics, machine), strict=True):
            append_line(self._folder / name, json.dumps(line))
