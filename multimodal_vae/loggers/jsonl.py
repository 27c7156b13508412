"""Write metrics as lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from multimodal_vae.errors import RunError
from multimodal_vae.files import append_line, write_bytes
from multimodal_vae.loggers.base import Logger
from multimodal_vae.part import explain

_MACHINE = "machine."
_FILES = ("log.jsonl", "timing.jsonl")
_LINE = pydantic.TypeAdapter(dict[str, float])


class JSONLines(Logger):
    """Write one line per epoch to ``log.jsonl`` in the run's folder, if it has one.

    Time and memory are in ``timing.jsonl``, so that equal trainings write equal logs.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Set the folder."""
        self._folder = folder

    def rewind(self, step: int) -> None:
        """Remove the lines of later steps, and a last line that is incomplete.

        Raises:
            RunError: naming the first damaged line.
        """
        for name in _FILES:
            path = self._folder / name if self._folder else None
            if path is not None and path.exists():
                lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
                steps = [_step(path, number, line) for number, line in enumerate(lines, 1)]
                write_bytes(path, b"".join(line for line, of in zip(lines, steps, strict=True) if of <= step))

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


def read_line(line: str | bytes) -> dict[str, float]:
    """Return the numbers in a line of a log.

    Raises:
        ValueError: if it is damaged.
    """
    return _LINE.validate_json(line)


def _step(path: Path, number: int, line: bytes) -> float:
    try:
        return read_line(line)["step"]
    except (KeyError, pydantic.ValidationError) as error:
        said = explain(error) if isinstance(error, pydantic.ValidationError) else "it has no 'step'"
        raise RunError(f"{path}, line {number} is damaged: {said}; restore the file, or remove the line") from error
