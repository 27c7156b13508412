"""What a folder of synthetic samples consists of: files, a manifest that names them, and what says what they are.

That they are synthetic the manifest says of each row, ``provenance.json`` of the folder, and a PNG of itself, since
pictures travel alone.
"""

import csv
import datetime
import io
import os
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from multimodal_vae.errors import RunError
from multimodal_vae.files import new_folder, write_bytes, write_json
from multimodal_vae.modalities.base import Modality

NOTICE = "synthetic, not for diagnosis"
TABLE, PROVENANCE, ORIGINAL = "manifest.csv", "provenance.json", "original"


@dataclass(frozen=True)
class FolderRow:
    """A row of a manifest.

    Attributes:
        facts: by column, whatever is no modality; ``sample_id`` among them.
        cells: by modality, the text of a cell that is kept, or a synthetic sample (*shape) that is to be written.
    """

    facts: Mapping[str, str]
    cells: Mapping[str, str | Tensor]


def write_folder(
    out: Path,
    modalities: Mapping[str, Modality],
    entries: Iterable[FolderRow],
    facts: Mapping[str, Any],
    original: Path | None = None,
) -> None:
    """Write a manifest, the files that it names, and ``provenance.json``: all of it, or nothing.

    The manifest's last column says of a row that it is synthetic, and of one that is so in part, in which modalities.

    Args:
        out: a place that is empty or does not exist.
        modalities: by column.
        entries: one or more, with the same columns.
        facts: where it came from, for ``provenance.json``.
        original: a folder to which the new one gets a link named ``original``, so that cells may lead into it.

    Raises:
        RunError: if the place is taken or cannot be written.
    """
    with new_folder(out) as folder:
        try:
            if original is not None:  # relative, so that both can be moved together
                place = os.path.relpath(original.resolve(), out.parent.resolve() / out.name)
                (folder / ORIGINAL).symlink_to(place, target_is_directory=True)
            places = folders(modalities)
            for name in places.values():
                (folder / name).mkdir()
            header, rows, seen = list[str](), list[list[str]](), set[str]()
            for entry in entries:
                header = [*entry.facts, *modalities, notice_column([*entry.facts, *modalities])]
                rows.append([*entry.facts.values(), *_cells(folder, modalities, places, entry, seen)])
            write_bytes(folder / TABLE, as_table([header, *rows]))
            write_provenance(folder, facts)
        except OSError as error:
            raise RunError(f"{error.filename or out} cannot be written: {error.strerror or error}") from error


def _cells(
    folder: Path, modalities: Mapping[str, Modality], places: Mapping[str, str], entry: FolderRow, seen: set[str]
) -> list[str]:
    """A row's cells, the files of those that are new written, and what is said of it."""
    stem, made, cells = plain_name(entry.facts["sample_id"], LONGEST, seen), list[str](), list[str]()
    for name, modality in modalities.items():
        cell = entry.cells[name]
        if isinstance(cell, Tensor):
            made.append(name)
            cell = write_cell(folder, modality, places.get(name, ""), stem, cell)
        cells.append(cell)
    if len(made) == len(modalities):
        return [*cells, NOTICE]
    return [*cells, f"{NOTICE}: {', '.join(made)}" if made else ""]


def write_cell(folder: Path, modality: Modality, place: str, stem: str, sample: Tensor) -> str:
    """Write a synthetic sample (*shape), and give the manifest's cell: the value itself, or a path within the folder.

    Args:
        folder: the manifest's.
        modality: whose sample it is.
        place: its folder in that one.
        stem: of the file's name.
        sample: what is written.
    """
    if modality.cell == "value":
        return modality.format(sample)
    path = Path(place) / f"{stem}{modality.suffix}"
    modality.write(sample, folder / path)
    mark(folder / path)
    return path.as_posix()


def mark(path: Path) -> None:
    """Say within a PNG that it is synthetic, in a chunk of text after its header; leave any other file as it is.

    Source: ISO/IEC 15948, *Portable Network Graphics*, 11.3.4: the keyword ``Warning``.
    """
    if path.suffix.lower() != ".png":
        return
    content = path.read_bytes()
    if content[: len(_PNG)] != _PNG:
        return
    chunk = b"tEXt" + b"Warning\0" + NOTICE.encode("latin-1")
    whole = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(content[:_HEADER] + whole + content[_HEADER:])


_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_HEADER = 33
"""Bytes of a PNG's signature and of its first chunk."""


def notice_column(columns: Iterable[str]) -> str:
    """What the column is called that says that a row is synthetic, in a manifest that has others."""
    taken, name = set(columns), "origin"
    while name in taken:
        name += "_of_sample"
    return name


def as_table(rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file of rows."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def write_provenance(folder: Path, facts: Mapping[str, Any]) -> None:
    """Say of a folder that it is synthetic, from what, and since when."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(folder / PROVENANCE, {"notice": NOTICE, **facts, "date": date})


def folders(modalities: Mapping[str, Modality]) -> dict[str, str]:
    """A folder's name for each modality that is in files."""
    names = [name for name, modality in modalities.items() if modality.cell == "path"]
    return distinct(names, 60, (TABLE, PROVENANCE, ORIGINAL))


LONGEST = 40
"""Letters of a class's or sample's name in a file's: with a number and an ending they fit a file system's 255 bytes."""


def distinct(names: Sequence[str], longest: int, taken: Iterable[str] = ()) -> dict[str, str]:
    """File names from free text, of which no two are the same; see :func:`plain_name`."""
    seen = set(taken)
    return {name: plain_name(name, longest, seen) for name in names}


def plain_name(name: str, longest: int, seen: set[str]) -> str:
    """A file's name from free text, since classes, samples and modalities may be called anything.

    It is none of those seen, to which it is added, nor so where a file system does not tell capitals, or the ways to
    write an accent, apart. Of a long name the end is kept.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    safe = plain[-longest:].strip(". ") or "_"
    while (same := unicodedata.normalize("NFKC", safe).casefold()) in seen:
        safe += "_"
    seen.add(same)
    return safe
