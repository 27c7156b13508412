"""Folders of synthetic samples: a manifest, the files it names, and ``provenance.json``.

The manifest marks each row as synthetic, ``provenance.json`` the folder, and a text chunk each PNG, since images are
copied without their folder.
"""

import datetime
import os
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.files import csv_text, is_reserved_name, new_folder, split_csv_row, write_bytes, write_json
from multimodal_vae.modalities.base import Modality
from multimodal_vae.synthesis.marks import NOTICE, ORIGINAL, PROVENANCE, TABLE

EXPECTED, DRAWN = "expected value", "draw"

CHUNK_SIZE = 256
"""Number of samples that are decoded at once."""


@dataclass(frozen=True)
class ManifestRow:
    """One row of a manifest to write.

    Attributes:
        metadata: columns other than modalities; ``sample_id`` is required.
        cells: by modality, the text of an original cell, or a synthetic sample (*shape) to write.
        filled: by modality whose cells are original but for some, what of them is synthetic, such as "2 entries".
    """

    metadata: Mapping[str, str]
    cells: Mapping[str, str | Tensor]
    filled: Mapping[str, str] = field(default_factory=dict)


def write_folder(
    out: Path,
    modalities: Mapping[str, Modality],
    rows: Iterable[ManifestRow],
    provenance: Mapping[str, Any],
    values: Mapping[str, str],
    original: Path | None = None,
    tables: Mapping[str, Sequence[Sequence[str]]] | None = None,
) -> None:
    """Write a manifest, the files it names, and ``provenance.json``; on failure, nothing remains.

    The manifest's last column marks synthetic rows, names their synthetic modalities, and says what these are.

    Args:
        out: folder to create; it must be empty or not exist.
        modalities: modalities by column.
        rows: one or more rows with the same columns.
        provenance: where the samples came from, for ``provenance.json``.
        values: what synthetic samples are, by modality: :data:`EXPECTED` or :data:`DRAWN`.
        original: folder that original cells refer to; the new folder links to it as ``original``.
        tables: rows of further CSV files by name, read once the manifest is written.

    Raises:
        DataError: if there is no row.
        RunError: if the folder exists or cannot be written.
    """
    with new_folder(out) as folder:
        if original is not None:  # a relative link, so that both can be moved together
            target = os.path.relpath(original.resolve(), out.resolve())
            (folder / ORIGINAL).symlink_to(target, target_is_directory=True)
        subfolders = modality_folders(modalities)
        for name in subfolders.values():
            (folder / name).mkdir()
        header, table, used = list[str](), list[list[str]](), set[str]()
        for row in rows:
            columns = [*row.metadata, *columns_of(modalities)]
            header = [*columns, notice_column(columns)]
            table.append([*row.metadata.values(), *_write_cells(folder, modalities, subfolders, row, values, used)])
        if not table:
            raise DataError("there are no samples to write")
        write_bytes(folder / TABLE, csv_text([header, *table]).encode())
        for name, lines in (tables or {}).items():
            write_bytes(folder / name, csv_text(lines).encode())
        write_provenance(folder, provenance)


def _write_cells(
    folder: Path,
    modalities: Mapping[str, Modality],
    subfolders: Mapping[str, str],
    row: ManifestRow,
    values: Mapping[str, str],
    used: set[str],
) -> list[str]:
    """Write the synthetic samples of a row, and return its cells and its notice."""
    stem, synthetic, cells = safe_file_name(row.metadata["sample_id"], LONGEST, used), list[str](), list[str]()
    for name, modality in modalities.items():
        cell = row.cells[name]
        if isinstance(cell, Tensor):
            synthetic.append(f"{name} ({values[name]})")
            cell = write_cell(folder, modality, subfolders.get(name, ""), stem, cell)
        elif name in row.filled:
            synthetic.append(f"{row.filled[name]} of {name} ({values[name]})")
        cells += cells_of(modality, cell)
    return [*cells, f"{NOTICE}: {', '.join(synthetic)}" if synthetic else ""]


def columns_of(modalities: Mapping[str, Modality]) -> list[str]:
    """Return the columns of a manifest that hold the modalities, in order."""
    return [column for name, modality in modalities.items() for column in modality.columns or [name]]


def cells_of(modality: Modality, text: str) -> list[str]:
    """Return the cells of one sample, of which the text is one or, for a modality of several columns, their CSV row."""
    if not modality.columns:
        return [text]
    return split_csv_row(text) if text else [""] * len(modality.columns)


def write_cell(folder: Path, modality: Modality, subfolder: str, stem: str, sample: Tensor) -> str:
    """Write a synthetic sample (*shape), and return the manifest's cell: the value, or a path relative to the folder.

    Args:
        folder: folder of the manifest.
        modality: the sample's modality.
        subfolder: the modality's folder within it.
        stem: stem of the file's name.
        sample: the sample.
    """
    if modality.cell == "value":
        return modality.format(sample)
    path = Path(subfolder) / f"{stem}{modality.suffix}"
    modality.write(sample, folder / path)
    mark_png(folder / path)
    return path.as_posix()


def mark_png(path: Path) -> None:
    """Insert the notice into a PNG, as a text chunk after its header; leave other files unchanged.

    Source: ISO/IEC 15948, *Portable Network Graphics*, 11.3.4: the keyword ``Warning``.
    """
    if path.suffix.lower() != ".png":
        return
    content = path.read_bytes()
    if content[: len(_PNG)] != _PNG:
        return
    chunk = b"tEXt" + b"Warning\0" + NOTICE.encode("latin-1")
    whole = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(content[:_HEADER_SIZE] + whole + content[_HEADER_SIZE:])


_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_HEADER_SIZE = 33
"""Bytes of a PNG's signature and first chunk."""


def notice_column(columns: Iterable[str]) -> str:
    """Return an unused name for the column that marks synthetic rows."""
    used, name = set(columns), "origin"
    while name in used:
        name += "_of_sample"
    return name


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write ``provenance.json``: the notice, where the samples came from, and the date."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(folder / PROVENANCE, {"notice": NOTICE, **provenance, "date": date})


def modality_folders(modalities: Mapping[str, Modality]) -> dict[str, str]:
    """Return a folder name for each modality that is stored in files."""
    names = [name for name, modality in modalities.items() if modality.cell == "path"]
    return unique_file_names(names, 60, (TABLE, PROVENANCE, ORIGINAL))


LONGEST = 40
"""Maximum letters of a class or sample in a file name: with number and suffix within the 255 bytes of file systems."""


def unique_file_names(names: Sequence[str], longest: int, used: Iterable[str] = ()) -> dict[str, str]:
    """Return a distinct file name for each free text; see :func:`safe_file_name`."""
    taken = set(used)
    return {name: safe_file_name(name, longest, taken) for name in names}


def safe_file_name(name: str, longest: int, used: set[str]) -> str:
    """Return a file name for a class, sample or modality, which may have any name; long names keep their end.

    The result is valid on every system, and differs from all names in ``used``, to which it is added, also where a file
    system ignores case or the normalization of accents.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    safe = plain[-longest:].strip(". ") or "_"
    if is_reserved_name(safe):
        safe = f"_{safe}"
    while (key := unicodedata.normalize("NFKC", safe).casefold()) in used:
        safe += "_"
    used.add(key)
    return safe
