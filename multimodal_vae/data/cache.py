"""What was read is kept: a folder for each way of reading, in it files of samples that are only ever added to.

Each reading process has a file of its own, ``<name>.samples``, rows of float32 with nothing around them, and beside it
``<name>.jsonl``, a line a row: the key of the cell, and what reading noted. A line is written when its row is on the
disk, so that whatever a killed process leaves behind is true as far as it goes; and since nothing is ever changed,
several processes may read and write at once.

A key is the cell, and of each file that it is read from the path, size, times and number that the system keeps. Times
are those of change as well as of modification, which no program can set. A file that was changed as late as its cell
was read is read again, since a clock's tick might hide another change. What decides how a cell is read is the folder's
name: the modality's configuration and its code.
"""

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.data.columns import FLOAT, Column, Stored
from multimodal_vae.data.reading import Source
from multimodal_vae.errors import DataError
from multimodal_vae.files import write_bytes, write_json
from multimodal_vae.modalities.base import Modality

FOLDER = ".mmvae_cache"
"""Where samples are kept by default: beside the manifest."""

SETTLED = 2.0
"""Seconds since its last change after which a file is taken to be finished: the coarsest tick of a file system."""

_COMMIT = 1.0
"""Seconds after which what was read is put on the disk."""


class _Place(NamedTuple):
    file: int
    row: int
    notes: dict[str, int]


class Store:
    """The samples that one modality ever read, with one configuration and one state of its code.

    Args:
        root: folder of the cache.
        modality: whose samples they are.
        code: by :func:`~multimodal_vae.provenance.code_of`.
        count: cells of the column that is to be put together.
    """

    def __init__(self, root: Path, modality: Modality, code: Mapping[str, Any], count: int) -> None:
        self.modality = modality
        about = {"format": 1, "modality": modality.configuration, "shape": modality.shape, "code": code}
        self.folder = root / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        if not (self.folder / "about.json").exists():
            make_folder(self.folder)
            write_json(self.folder / "about.json", about)
        self._row_bytes = int(np.prod(modality.shape)) * FLOAT.itemsize
        self._files: list[Path] = []
        self._known: dict[str, _Place] = {}
        for index in sorted(self.folder.glob("*.jsonl")):
            self._take_up(index)
        self._keys: dict[int, str | None] = {}
        self._file = np.full(count, -1, np.int64)
        self._place = np.zeros(count, np.int64)
        self._writing: _Writing | None = None

    def known(self, index: int, source: Source) -> dict[str, int] | None:
        """Look a cell up: what was noted when it was read, or None where it has to be read."""
        key = self._keys[index] = _key(self.modality, source)
        place = self._known.get(key) if key else None
        if place is None:
            return None
        self._file[index], self._place[index] = place.file, place.row
        return place.notes

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        """Keep what was read of a cell that was not known."""
        if self._writing is None:
            self._writing = _Writing(self.folder)
            self._files.append(self._writing.samples)
        self._file[index], self._place[index] = len(self._files) - 1, self._writing.count
        key = self._keys[index]
        self._writing.put(key if key == _key(self.modality, source) else None, sample, notes)

    def close(self) -> None:
        """Put what was read on the disk."""
        if self._writing:
            self._writing.close()

    def column(self) -> Column:
        """The column: its cells in their order, zero where there was none."""
        stored = Stored(self._files, self._file, self._place, self.modality.shape)
        return Column(stored, folder=self.folder)

    def _take_up(self, index: Path) -> None:
        """Take up a file that another process wrote, or still writes: as far as line and row are whole."""
        samples = index.with_suffix(".samples")
        try:
            lines, size = index.read_bytes().split(b"\n")[:-1], samples.stat().st_size
        except OSError:
            return
        self._files.append(samples)
        for row, line in enumerate(lines[: size // max(1, self._row_bytes)]):
            try:
                record = json.loads(line)
                key, notes = record["key"], {str(note): int(times) for note, times in record["notes"].items()}
            except (ValueError, TypeError, KeyError, AttributeError):
                return
            if key is not None:
                self._known[key] = _Place(len(self._files) - 1, row, notes)


class _Writing:
    """A file of samples in the making, with its index."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(".samples", "", folder)
        self.samples = Path(name)
        self.count = 0
        self._samples = open(handle, "wb")  # noqa: SIM115
        self._index = open(self.samples.with_suffix(".jsonl"), "wb")  # noqa: SIM115
        self._lines: list[bytes] = []
        self._committed = time.monotonic()

    def put(self, key: str | None, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        try:
            self._samples.write(np.ascontiguousarray(sample, FLOAT).tobytes())
            self._lines.append(json.dumps({"key": key, "notes": notes}).encode() + b"\n")
            self.count += 1
            if time.monotonic() - self._committed >= _COMMIT:
                self._commit()
        except OSError as error:
            raise DataError(f"{self.samples} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        with self._samples, self._index:
            try:
                self._commit()
            except OSError as error:
                raise DataError(f"{self.samples} cannot be written: {error.strerror}") from error

    def _commit(self) -> None:
        self._samples.flush()
        os.fsync(self._samples.fileno())
        self._index.write(b"".join(self._lines))
        self._index.flush()
        os.fsync(self._index.fileno())
        self._lines.clear()
        self._committed = time.monotonic()


def make_folder(folder: Path) -> None:
    """Make a folder for its owner alone: samples may be of patients, and files' own permissions are not known here.

    Raises:
        OSError: if it cannot be written.
    """
    folder.mkdir(0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_root(root: Path) -> None:
    """Make a cache's folder, which version control and backups pass over.

    Raises:
        OSError: if it cannot be written.
    """
    make_folder(root)
    for name, content in (
        (".gitignore", b"*\n"),
        (
            "CACHEDIR.TAG",
            b"Signature: 8a477f597d28d172789f06886806bc55\n# What multimodal_vae read; remove it at will.\n",
        ),
    ):
        if not (root / name).exists():
            write_bytes(root / name, content)


def _key(modality: Modality, source: Source) -> str | None:
    """What a cell's sample depends on, as a hash; None where that is not known or not over yet."""
    states: list[tuple[str | int, ...]] = []
    try:
        for path in modality.files(source):
            state = path.stat()
            newest = max(state.st_mtime, state.st_ctime)
            if not stat.S_ISREG(state.st_mode) or time.time() - newest < SETTLED:
                return None
            states.append((os.path.abspath(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))
    except (OSError, ValueError, DataError):  # reading says what is wrong
        return None
    if isinstance(source, Path):
        if not states:
            return None
        source = os.path.abspath(source)
    return hashlib.sha256(json.dumps([source, states]).encode()).hexdigest()
