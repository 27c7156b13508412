"""The entries of a cache's indices, in arrays, since there may be millions."""

import io
import json
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from multimodal_vae.data.columns import open_unlinked
from multimodal_vae.files import LONGEST_LINE

CHECKSUM = 16
"""Bytes of a checksum."""


_PLAIN = re.compile(rb'\{"key": "([0-9a-f]{16})[0-9a-f]{48}", "notes": \{\}, "checksum": "([0-9a-f]{32})"\}\n')
"""The line of a sample without notes, as the cache writes it; it needs no parser."""


class Entry(NamedTuple):
    """A cached sample.

    Attributes:
        file: number of the file that holds it.
        row: its row in this file.
        notes: counts of the changes that reading made to values.
        checksum: over its row, key and notes.
    """

    file: int
    row: int
    notes: dict[str, int]
    checksum: bytes


class Entries:
    """The entries of indices, found by key.

    Args:
        indices: the files, which other processes may still extend.

    Attributes:
        damaged: the indices with a line that is no entry; what stands above it is used.
    """

    def __init__(self, indices: Sequence[Path]) -> None:
        self.damaged: list[Path] = []
        self._keys = array("Q")  # the first 64 bits of each
        self._notes = array("q")  # numbers of notes
        self._checksums = bytearray()
        self._distinct: list[dict[str, int]] = []
        self._numbers: dict[str, int] = {}
        self._starts: list[int] = []  # the first entry of each file
        for index in indices:
            self._starts.append(len(self._keys))
            if not self._read(index):
                self.damaged.append(index)
        keys = np.frombuffer(self._keys, np.uint64) if self._keys else np.empty(0, np.uint64)
        self._order = array("q", np.argsort(keys, kind="stable").tobytes())
        self._sorted = array("Q", np.sort(keys).tobytes())

    def find(self, key: str) -> Iterator[Entry]:
        """Yield the entries that probably have a key, the latest first; whether they do, the checksum shows."""
        number = _short(key)
        first = bisect_left(self._sorted, number)
        for place in range(bisect_right(self._sorted, number, first) - 1, first - 1, -1):
            entry = self._order[place]
            file = bisect_right(self._starts, entry) - 1
            yield Entry(
                file,
                entry - self._starts[file],
                self._distinct[self._notes[entry]],
                bytes(self._checksums[CHECKSUM * entry : CHECKSUM * (entry + 1)]),
            )

    def _read(self, index: Path) -> bool:
        """Read the complete lines of an index; return whether all are entries."""
        for line in _lines(index):
            if plain := _PLAIN.fullmatch(line):
                self._add(int(plain[1], 16), {}, bytes.fromhex(plain[2].decode()))
                continue
            try:
                record = json.loads(line)
                notes = {str(note): int(times) for note, times in record["notes"].items()}
                key, checksum = record["key"], bytes.fromhex(record["checksum"])
                number = _short(key) if isinstance(key, str) else 0  # what has no key is not found, but takes a row
                self._add(number, notes, checksum[:CHECKSUM].ljust(CHECKSUM, b"\0"))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                return False
        return True

    def _add(self, key: int, notes: dict[str, int], checksum: bytes) -> None:
        self._keys.append(key)
        self._checksums += checksum
        number = self._numbers.setdefault(json.dumps(notes) if notes else "", len(self._distinct))
        if number == len(self._distinct):
            self._distinct.append(notes)
        self._notes.append(number)


def _short(key: str) -> int:
    return int(key[:16], 16)


def _lines(index: Path) -> Iterator[bytes]:
    """Yield the complete lines of an index."""
    with suppress(OSError), io.BufferedReader(open_unlinked(index)) as file:
        while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
            yield line
