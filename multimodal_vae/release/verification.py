"""The check of a release by whoever receives it: it needs the folder and the standard library, and no torch."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal_vae.errors import RunError, shorten
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.release.sums import SUMS, list_files, read_sums, sha256
from multimodal_vae.synthesis.marks import NOTICE, PROVENANCE, TABLE

DATASHEET = "datasheet.md"
_RECORDS = (TABLE, PROVENANCE, DATASHEET)


@dataclass(frozen=True)
class Verified:
    """A release that is complete and unchanged.

    Attributes:
        digest: SHA-256 of its list of checksums, which stands for the whole folder.
        samples: number of samples.
        files: number of files with a checksum.
    """

    digest: str
    samples: int
    files: int


def verify_release(folder: Path, digest: str | None = None) -> Verified:
    """Check that a folder is what ``mmvae release`` wrote, and return its digest.

    Every file has a checksum, every checksum a file, and nothing else is in the folder. Every row of the manifest bears
    the notice, names files that no other row names, and counts towards the numbers of the datasheet.

    Args:
        folder: the release.
        digest: the digest that the releaser published. Without it, a folder is accepted whose checksums were computed
            anew after a change.

    Raises:
        RunError: naming the first three faults and their number.
    """
    sums, found = read_sums(folder)
    try:
        files, faults = list_files(folder)
        faults += _differences(folder, files, sums)
        faults = faults or list(_contradictions(folder, files))
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}") from error
    if digest is not None and digest.strip().lower() != found:
        faults.insert(0, f"the digest is {found}, not {shorten(digest.strip())}, which was published")
    if faults:
        count = f"{len(faults)} faults, first" if len(faults) > 3 else "it differs"
        raise RunError(f"{folder} is not what was released: {count}: {'; '.join(faults[:3])}")
    return Verified(found, sum(_read_json(folder)["counts"].values()), len(sums))


def _differences(folder: Path, files: Sequence[str], sums: Mapping[str, str]) -> Iterator[str]:
    """Yield how the files differ from their checksums."""
    changed = {name: sha256(folder / name) for name in files if name in sums}
    changed = {name: checksum for name, checksum in changed.items() if checksum != sums[name]}
    swapped = {
        name: other
        for name in changed
        for other in changed
        if name < other and (changed[name], changed[other]) == (sums[other], sums[name])
    }
    yield from (f"{_quoted(one)} and {_quoted(other)} were exchanged" for one, other in swapped.items())
    yield from (f"{_quoted(name)} was changed" for name in changed if name not in {*swapped, *swapped.values()})
    yield from (f"{_quoted(name)} is missing" for name in sorted(set(sums) - set(files)))
    yield from (f"{_quoted(name)} is not in {SUMS}" for name in files if name not in sums)
    yield from (f"{SUMS} lacks {name}" for name in _RECORDS if name not in sums)


def _contradictions(folder: Path, files: Sequence[str]) -> Iterator[str]:
    """Yield how manifest, provenance, datasheet and files contradict each other."""
    try:
        provenance, rows = _read_json(folder), list(_rows(folder))
        datasheet = (folder / DATASHEET).read_text("utf-8")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        yield f"{TABLE}, {PROVENANCE} or {DATASHEET} cannot be read: {error}"
        return
    for row in rows:
        if row.notice != NOTICE:
            yield f"row {_quoted(row.name)} of {TABLE} lacks the notice {NOTICE!r}"
    for name, count in Counter(row.name for row in rows).items():
        if count > 1:
            yield f"{TABLE} has {count} rows {_quoted(name)}"
    named = Counter(name for row in rows for name in row.files)
    yield from (f"{count} rows of {TABLE} name {_quoted(name)}" for name, count in named.items() if count > 1)
    samples = {*files} - {*_RECORDS}
    yield from (
        f"{TABLE} names {_quoted(name)}, which is no sample in the folder" for name in named if name not in samples
    )
    yield from (f"no row of {TABLE} names {_quoted(name)}" for name in sorted(samples - {*named}))
    if provenance["notice"] != NOTICE:
        yield f"{PROVENANCE} lacks the notice {NOTICE!r}"
    counts = Counter(row.label for row in rows)
    if counts != provenance["counts"]:
        yield f"{TABLE} has {_listed(counts)}, but {PROVENANCE} has {_listed(provenance['counts'])}"
    if [int(number) for number in _COUNT.findall(datasheet)] != [*provenance["counts"].values()]:
        yield f"{DATASHEET} does not give the counts of {PROVENANCE}"


_COUNT = re.compile(r"^\| .+ \| (\d{1,15}) \|$", re.MULTILINE)
"""A row of the datasheet's table of classes."""


@dataclass(frozen=True)
class _Row:
    name: str
    label: str
    files: list[str]
    notice: str


def _rows(folder: Path) -> Iterator[_Row]:
    """Yield the rows of the manifest; the columns of files stand in the provenance, the notice in the last column."""
    columns = _read_json(folder)["files"]
    with open(folder / TABLE, encoding="utf-8", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the header {len(header)}")
            row = dict(zip(header, map(unquote_formula, cells), strict=True))
            named = [row[column] for column in columns if row[column]]
            yield _Row(row["sample_id"], row["label"], named, cells[-1])


def _read_json(folder: Path) -> dict[str, Any]:
    """Return the provenance with its counts, columns of files and notice, whose types are checked."""
    found = json.loads((folder / PROVENANCE).read_text("utf-8"))
    counts, columns = found["counts"], found["files"]
    if not all(isinstance(count, int) for count in counts.values()) or not all(isinstance(x, str) for x in columns):
        raise ValueError(f"counts or files of {PROVENANCE} have another form")
    return {"counts": dict(counts), "files": list(columns), "notice": found["notice"]}


def _listed(counts: Mapping[str, int]) -> str:
    return shorten(", ".join(f"{count} {label}" for label, count in counts.items())) or "no samples"


def _quoted(name: str) -> str:
    return repr(shorten(name))
