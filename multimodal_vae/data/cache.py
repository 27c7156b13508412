"""The cache of decoded samples: one folder per way of reading, with files that only ever grow.

Each process that reads writes its own pair of files: ``<name>.samples`` holds rows of float32 without a header, and
``<name>.jsonl`` one line per row, with the key of the cell and the notes of reading it. A line is written after its row
is on disk, so a killed process leaves only complete entries. Nothing is ever changed, so processes need no lock.

The key of a cell hashes the cell and, for each of its files, the path, size, modification time, change time and inode
number; no program can set the change time. A file that changed within the last :data:`SETTLED` seconds has no key and
is read again next time, since the file system's clock might not show another change. The folder's name hashes whatever
else decides the result: the modality's configuration and its code.
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

from multimodal_vae.data.columns import FLOAT, Column, FileRows
from multimodal_vae.data.reading import Source
from multimodal_vae.errors import DataError
from multimodal_vae.files import write_bytes, write_json
from multimodal_vae.modalities.base import Modality

FOLDER = ".mmvae_cache"
"""Name of the default cache folder, beside the manifest."""

SETTLED = 2.0
"""Seconds since its last change after which a file is trusted: the coarsest clock tick of a file system."""

_COMMIT = 1.0
"""Seconds between writes to disk."""


class _Location(NamedTuple):
    file: int
    row: int
    notes: dict[str, int]


class CachedColumn:
    """Builds a column from cached samples of one modality, and adds new ones to the cache.

    Args:
        root: folder of the cache.
        modality: the modality of the samples.
        code: the modality's code, by :func:`~multimodal_vae.provenance.code_of`.
        count: number of cells in the column.
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
        self._locations: dict[str, _Location] = {}
        for index in sorted(self.folder.glob("*.jsonl")):
            self._read_index(index)
        self._keys: dict[int, str | None] = {}
        self._file = np.full(count, -1, np.int64)
        self._row = np.zeros(count, np.int64)
        self._writer: _Writer | None = None

    def look_up(self, index: int, source: Source) -> dict[str, int] | None:
        """Return the notes of a cached cell, or None if it must be read."""
        key = self._keys[index] = _key(self.modality, source)
        location = self._locations.get(key) if key else None
        if location is None:
            return None
        self._file[index], self._row[index] = location.file, location.row
        return location.notes

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        """Add the sample of a cell that was not cached."""
        if self._writer is None:
            self._writer = _Writer(self.folder)
            self._files.append(self._writer.path)
        self._file[index], self._row[index] = len(self._files) - 1, self._writer.count
        key = self._keys[index]
        self._writer.put(key if key == _key(self.modality, source) else None, sample, notes)

    def close(self) -> None:
        """Write all samples to disk."""
        if self._writer:
            self._writer.close()

    def column(self) -> Column:
        """Return the column; cells without a sample are zero."""
        return Column(FileRows(self._files, self._file, self._row, self.modality.shape), folder=self.folder)

    def _read_index(self, index: Path) -> None:
        """Read the complete entries of another process's files, which may still be growing."""
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
                self._locations[key] = _Location(len(self._files) - 1, row, notes)


class _Writer:
    """Writes a new file of samples and its index."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(".samples", "", folder)
        self.path = Path(name)
        self.count = 0
        self._samples = open(handle, "wb")  # noqa: SIM115
        self._index = open(self.path.with_suffix(".jsonl"), "wb")  # noqa: SIM115
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
            raise DataError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        with self._samples, self._index:
            try:
                self._commit()
            except OSError as error:
                raise DataError(f"cannot write {self.path}: {error.strerror}") from error

    def _commit(self) -> None:
        self._samples.flush()
        os.fsync(self._samples.fileno())
        self._index.write(b"".join(self._lines))
        self._index.flush()
        os.fsync(self._index.fileno())
        self._lines.clear()
        self._committed = time.monotonic()


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can read, since samples may be patient data.

    Raises:
        OSError: if it cannot be written.
    """
    folder.mkdir(0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_root(root: Path) -> None:
    """Create the folder of a cache, marked so that version control and backups ignore it.

    Raises:
        OSError: if it cannot be written.
    """
    make_folder(root)
    for name, content in (
        (".gitignore", b"*\n"),
        (
            "CACHEDIR.TAG",
            b"Signature: 8a477f597d28d172789f06886806bc55\n# Samples decoded by multimodal_vae; safe to delete.\n",
        ),
    ):
        if not (root / name).exists():
            write_bytes(root / name, content)


def _key(modality: Modality, source: Source) -> str | None:
    """Return a hash of everything that a cell's sample depends on; None if a file is unknown or changed just now."""
    states: list[tuple[str | int, ...]] = []
    try:
        for path in modality.files(source):
            state = path.stat()
            newest = max(state.st_mtime, state.st_ctime)
            if not stat.S_ISREG(state.st_mode) or time.time() - newest < SETTLED:
                return None
            states.append((os.path.abspath(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))
    except (OSError, ValueError, DataError):  # reading the cell reports the fault
        return None
    if isinstance(source, Path):
        if not states:
            return None
        source = os.path.abspath(source)
    return hashlib.sha256(json.dumps([source, states]).encode()).hexdigest()
