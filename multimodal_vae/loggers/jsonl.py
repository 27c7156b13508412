"""Write metrics as lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from typing_extensions import TypedDict

from multimodal_vae.errors import RunError
from multimodal_vae.files import append_line, inside, read_regular, write_bytes
from multimodal_vae.loggers.base import Logger
from multimodal_vae.part import explain

LONGEST_LOG = 2**28
"""Maximum size of a log in bytes: some hundred thousand epochs."""

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
        """Remove the lines of later steps, and a last line that is incomplete.

        Raises:
            RunError: if a file is damaged, or cannot be read or written.
        """
        if self._folder is None:
            return
        for name in _FILES:
            path = inside(self._folder, name)
            if path.exists():
                write_bytes(path, b"".join(_lines_until(step, path)))

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
            append_line(inside(self._folder, name), json.dumps(line))


class _Entry(TypedDict):
    step: int


_ENTRY = pydantic.TypeAdapter(_Entry)


def _lines_until(step: int, path: Path) -> list[bytes]:
    """Return the complete lines of a log up to a step."""
    number = 0
    try:
        lines = read_regular(path, LONGEST_LOG).splitlines(keepends=True)
        kept = []
        for number, line in enumerate(lines, 1):  # noqa: B007  (the number is for the error)
            if line.endswith(b"\n") and _ENTRY.validate_json(line)["step"] <= step:
                kept.append(line)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except pydantic.ValidationError as error:
        raise RunError(f"{path}, line {number} is damaged: {explain(error)}; remove the line") from error
    return kept
