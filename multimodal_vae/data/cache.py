"""The cache of decoded samples: one folder per way of reading, with files that only ever grow.

Each process that reads writes its own pair of files: ``<name>.samples`` holds rows of float32 without a header, and
``<name>.jsonl`` one line per row, with the key of the cell, the notes of reading it, and a checksum. A line is written
after its row is on disk, so a killed process leaves only complete entries. Nothing is ever changed, so processes need
no lock.

The key of a cell hashes the cell and, for each of its files, the path, size, modification time, change time and inode
number; no program can set the change time. A file that changed within the last :data:`SETTLED` seconds has no key and
is read again next time, since the file system's clock might not show another change. The folder's name hashes whatever
else decides the result: the modality's configuration and its code.

A cached sample is used if its checksum matches its row, its key and its notes. Keys and checksums also hash the inode
number and change time of the file ``CACHEDIR.TAG``, which nobody can choose: a cache that came with somebody's data, or
that was copied, is not believed.
"""

import errno
import hashlib
import io
import json
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.data.cache_entries import CHECKSUM, Entries, Entry
from multimodal_vae.data.columns import FLOAT, Column, FileRows, open_unlinked
from multimodal_vae.data.reading import Source
from multimodal_vae.errors import DataError, MultimodalVAEWarning
from multimodal_vae.files import read_regular
from multimodal_vae.modalities.base import Modality

FOLDER = ".mmvae_cache"
"""Name of the default cache folder, beside the manifest."""

SETTLED = 2.0
"""Seconds since its last change after which a file is trusted: the coarsest clock tick of a file system."""

_COMMIT = 1.0
"""Seconds between writes to disk."""

_DIGEST = 32
"""Bytes of a key."""

_encode = json.JSONEncoder(sort_keys=True).encode

_TAG = "CACHEDIR.TAG"
_MARKS = {
    _TAG: b"Signature: 8a477f597d28d172789f06886806bc55\n# Samples decoded by multimodal_vae; safe to delete.\n",
    ".gitignore": b"*\n",
}
"""Files that mark the folder of a cache, and tell version control and backups to ignore it."""


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
        about = {"format": 2, "modality": modality.configuration, "shape": modality.shape, "code": code}
        self.folder = root / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        make_folder(self.folder)
        _write_once(self.folder / "about.json", json.dumps(about, indent=2).encode() + b"\n")
        self._salt = _salt(root / _TAG)
        self._damaged = 0
        self._opened: tuple[int, io.FileIO] | None = None
        self._resources = ExitStack()
        self._row_bytes = int(np.prod(modality.shape)) * FLOAT.itemsize
        indices = sorted(self.folder.glob("*.jsonl"))
        self._files = [index.with_suffix(".samples") for index in indices]
        self._entries = Entries(indices)
        for index in self._entries.damaged:
            self._damaged += 1
            with suppress(OSError):
                index.unlink()  # otherwise this would be noted each time
        self._keys = np.zeros((count, _DIGEST), np.uint8)  # of cells to read; zero if unknown
        self._file = np.full(count, -1, np.int64)
        self._row = np.zeros(count, np.int64)
        self._writer: _Writer | None = None

    def look_up(self, index: int, source: Source) -> dict[str, int] | None:
        """Return the notes of a cached cell, or None if it must be read."""
        key = self._key(source)
        if key is None:
            return None
        entry = None
        for entry in self._entries.find(key):
            if self._matches(key, entry):
                self._file[index], self._row[index] = entry.file, entry.row
                return entry.notes
        self._damaged += entry is not None
        self._keys[index] = np.frombuffer(bytes.fromhex(key), np.uint8)
        return None

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        """Add the sample of a cell that was not cached."""
        if self._writer is None:
            self._writer = _Writer(self.folder, self._salt)
            self._files.append(self._writer.path)
        self._file[index], self._row[index] = len(self._files) - 1, self._writer.count
        key = self._keys[index].tobytes().hex()
        self._writer.put(key if key == self._key(source) else None, sample, notes)

    def close(self) -> None:
        """Write all samples to disk."""
        self._resources.close()
        if self._writer:
            self._writer.close()
        if self._damaged:
            warnings.warn(
                f"{self._damaged} entries of the cache {self.folder} do not match their checksums, and are read anew",
                MultimodalVAEWarning,
                stacklevel=5,
            )

    def column(self) -> Column:
        """Return the column; cells without a sample are zero."""
        return Column(FileRows(self._files, self._file, self._row, self.modality.shape), folder=self.folder)

    def _key(self, source: Source) -> str | None:
        """Return a hash of all that a cell's sample depends on; None if a file is unknown or changed just now."""
        states: list[tuple[str | int, ...]] = []
        try:
            for path in self.modality.files(source):
                state = path.stat()
                newest = max(state.st_mtime, state.st_ctime)
                if not stat.S_ISREG(state.st_mode) or time.time() - newest < SETTLED:
                    return None
                states.append(
                    (os.path.abspath(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
                )
        except (OSError, ValueError, DataError):  # reading the cell reports the fault
            return None
        if isinstance(source, Path):
            if not states:
                return None
            source = os.path.abspath(source)
        return hashlib.sha256(self._salt + json.dumps([source, states]).encode()).hexdigest()

    def _matches(self, key: str, entry: Entry) -> bool:
        """Return whether a row is the one that was written."""
        content = bytearray(self._row_bytes)
        try:
            if self._opened is None or self._opened[0] != entry.file:
                self._resources.close()
                self._opened = None  # if this one cannot be opened
                self._opened = entry.file, self._resources.enter_context(open_unlinked(self._files[entry.file]))
            file = self._opened[1]
            file.seek(entry.row * self._row_bytes)
            if file.readinto(content) != self._row_bytes:
                return False
        except OSError:
            return False
        return entry.checksum == _checksum(self._salt, key, entry.notes, hashlib.sha256(content).digest())


class _Writer:
    """Writes a new file of samples and its index."""

    def __init__(self, folder: Path, salt: bytes) -> None:
        handle, name = tempfile.mkstemp(".samples", "", folder)
        self.path = Path(name)
        self.count = 0
        self._salt = salt
        self._samples = open(handle, "wb")  # noqa: SIM115
        self._index = open(self.path.with_suffix(".jsonl"), "xb")  # noqa: SIM115
        self._entries: list[tuple[str | None, dict[str, int], bytes]] = []
        self._committed = time.monotonic()

    def put(self, key: str | None, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        content = np.ascontiguousarray(sample, FLOAT).tobytes()
        try:
            self._samples.write(content)
            self._entries.append((key, dict(notes), hashlib.sha256(content).digest()))
            self.count += 1
            if time.monotonic() - self._committed >= _COMMIT:
                self._commit()
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Write what is left, and close both files; closing a file on a full disk may fail as well."""
        try:
            with self._samples, self._index:
                self._commit()
        except OSError as error:
            raise self._error(error) from error

    def _commit(self) -> None:
        self._samples.flush()
        os.fsync(self._samples.fileno())
        for key, notes, digest in self._entries:
            checksum = _checksum(self._salt, key, notes, digest).hex() if key else ""
            self._index.write(json.dumps({"key": key, "notes": notes, "checksum": checksum}).encode() + b"\n")
        self._index.flush()
        os.fsync(self._index.fileno())
        self._entries.clear()
        self._committed = time.monotonic()

    def _error(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write {self.path}: {error.strerror}; free some space, or set 'cache' to another folder or false"
        )


def _salt(tag: Path) -> bytes:
    """Return what only this machine knows of a cache: the inode number and change time of one of its files."""
    state = tag.lstat()
    return f"{state.st_ino} {state.st_ctime_ns} ".encode()


def _checksum(salt: bytes, key: str, notes: Mapping[str, int], digest: bytes) -> bytes:
    """Return the checksum of an entry, given the digest of its row."""
    entry = _encode([key, notes]) if notes else f'["{key}", {{}}]'  # the same text, in a tenth of the time
    return hashlib.sha256(salt + entry.encode() + digest).digest()[:CHECKSUM]


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can read, since samples may be patient data.

    Raises:
        OSError: if it cannot be written, or is a link, which could lead anywhere.
    """
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, which is not followed", str(folder))
    folder.mkdir(0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_root(root: Path) -> None:
    """Create the folder of a cache and mark it.

    Raises:
        OSError: if it cannot be written, is a link, or holds anything but a cache.
    """
    if (
        not root.is_symlink()
        and not is_cache(root)
        and root.is_dir()
        and not {path.name for path in root.iterdir()} <= {*_MARKS}
    ):
        raise OSError(errno.ENOTEMPTY, "it holds other files than a cache", str(root))
    make_folder(root)
    for name, content in _MARKS.items():
        _write_once(root / name, content)


def is_cache(root: Path) -> bool:
    """Return whether a folder is that of a cache, and no link to one."""
    with suppress(OSError):
        return not root.is_symlink() and read_regular(root / _TAG, 1000) == _MARKS[_TAG]
    return False


def _write_once(path: Path, content: bytes) -> None:
    """Write a small file unless it has this size already; several processes at once write the same bytes."""
    with suppress(FileNotFoundError):
        if path.lstat().st_size == len(content):
            return
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags, 0o666), "wb") as file:
        file.write(content)
