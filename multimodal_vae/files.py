"""Files that are written atomically, and read with a check."""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from multimodal_vae.errors import DataError, RunError, one_line
from multimodal_vae.formulas import quote_formula
from multimodal_vae.locks import LOCK, locked
from multimodal_vae.part import explain

T = TypeVar("T")

_OTHER_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NO_WAIT = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_CLOEXEC"))
"""Flags of opening a file, as far as the system has them: a pipe that took the place of the file is not waited for."""


def open_regular(path: Path, limit: int | None = None) -> io.BufferedReader:
    """Open a regular file to read its bytes; never wait for a pipe, nor touch a device.

    Every file from outside is opened here, so that no place in a data set or run folder can stop a program.

    Args:
        path: the file, or a link to it.
        limit: maximum size in bytes. Default: any size.

    Raises:
        OSError: if it is missing, is not a regular file, or is larger; ``strerror`` says so.
    """
    _require_regular(path, os.stat(path), limit)
    file = open(os.open(path, os.O_RDONLY | _NO_WAIT), "rb")  # noqa: SIM115  (the caller closes it)
    try:
        _require_regular(path, os.fstat(file.fileno()), limit)  # it may have been replaced
    except OSError:
        file.close()
        raise
    return file


def _require_regular(path: Path, facts: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = _OTHER_KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    if limit is not None and facts.st_size > limit:
        raise OSError(errno.EFBIG, f"it has {facts.st_size:,} bytes; at most {limit:,} are read", str(path))


def open_sample(path: str | Path, limit: int | None = None) -> io.BufferedReader:
    """Open a user's file to read one sample, as :func:`open_regular` does.

    Raises:
        DataError: one sentence that does not name the file, if it is not a regular file or is larger.
        FileNotFoundError: if it is missing.
        PermissionError: if it must not be read.
    """
    try:
        return open_regular(Path(path), limit)
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError("cannot be read: its name contains a NUL character") from error


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes; see :func:`open_regular`."""
    with open_regular(path, limit) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
    return content


def inside(folder: Path, *names: str) -> Path:
    """Return the path of a file or subfolder of a folder that may come from a stranger, such as a run.

    Raises:
        RunError: if a link, pipe, socket or device is in its place, or in that of a folder above it: neither reading
            nor writing may lead out of the folder.
    """
    path = folder
    for name in names:
        path = path / name
        try:
            mode = os.lstat(path).st_mode
        except OSError:  # nothing is there, or whoever opens it learns why not
            break
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            kind = "a link" if stat.S_ISLNK(mode) else _OTHER_KINDS.get(stat.S_IFMT(mode), "something else")
            raise RunError(f"{path} is {kind}, which could lead out of {folder}; put a copy in its place")
    return folder.joinpath(*names)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, unless they exist.

    Raises:
        RunError: if it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove the temporary files of killed processes; call it only while no other process writes such a file.

    Args:
        folder: folder of the file.
        name: name of the file that was written, or a pattern such as ``*.safetensors``.
    """
    for each in folder.glob(f".{name}.*"):
        if is_leftover(each.name) and stat.S_ISREG(os.lstat(each).st_mode):
            each.unlink()


def is_leftover(name: str) -> bool:
    """Return whether a name is one of a temporary file; earlier versions ended it with a process id."""
    return re.fullmatch(r"\..+\.([0-9a-f]{16}|\d{1,7})", name) is not None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: write a temporary file beside it, flush it to disk, and rename it.

    A link in its place is replaced, not followed. The temporary file is new and has a random name, so that nobody can
    put a link there before.
    """
    if not path.name:
        raise RunError(f"{path} is a folder; name a file")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, and flush it to disk."""
    try:
        with open(path, "a", encoding="utf-8", opener=_open_in_place) as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def _open_in_place(path: str, flags: int) -> int:
    """Open a file to append to, never through a link, and never wait for a pipe."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | _NO_WAIT, 0o666)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON that ends with a newline."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, schema: type[T]) -> T:
    """Read and check a JSON file of at most :data:`LONGEST_JSON` bytes.

    Args:
        path: the file.
        schema: expected type, such as a ``TypedDict``.

    Raises:
        RunError: if the file is missing, too large, not JSON, or does not match the schema.
    """
    try:
        return pydantic.TypeAdapter(schema).validate_json(read_regular(path, LONGEST_JSON))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except pydantic.ValidationError as error:
        raise RunError(f"{path} is damaged or of another version: {explain(error)}") from error


LONGEST_JSON = 2**26
"""Maximum size of a JSON file in bytes; the split of a million samples takes a quarter of it."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with a checksum; see :func:`tensor_bytes`."""
    write_bytes(path, tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with a checksum; the same tensors give the same bytes, and views are copied."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {**metadata, _CHECKSUM: digest(plain, metadata)}
    # safetensors writes several entries in random order, so the header is one entry.
    content: bytes = safetensors.torch.save(plain, {_HEADER: json.dumps(header, sort_keys=True)})
    return content


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a safetensors file that :func:`write_tensors` wrote; it cannot contain code.

    Raises:
        RunError: if the file is missing, truncated, altered, or not such a file.
    """
    try:
        with open_regular(path) as content:  # safetensors itself would wait for a pipe
            _require_content(path, os.fstat(content.fileno()))
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
            header = (file.metadata() or {}).get(_HEADER, "{}")
    except FileNotFoundError:
        raise RunError(f"there is no file {path}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
    except (safetensors.SafetensorError, RuntimeError, ValueError) as error:  # RuntimeError: too large for memory
        raise RunError(f"{path} is not a complete safetensors file: {one_line(error)}") from error
    try:
        metadata = pydantic.TypeAdapter(dict[str, str]).validate_json(header)
    except pydantic.ValidationError:
        metadata = {}
    if metadata.pop(_CHECKSUM, "") != digest(tensors, metadata):
        raise RunError(f"{path} was altered: its checksum does not match; restore it from a copy")
    return tensors, metadata


def _require_content(path: Path, facts: os.stat_result) -> None:
    """Raise OSError for a large file of which nearly nothing is stored: its zeros would take long to read."""
    stored = 512 * getattr(facts, "st_blocks", 0)  # zero where the file system does not know
    if facts.st_size > 2**26 and 0 < stored < facts.st_size // 64:
        raise OSError(errno.EFBIG, f"only {stored:,} of its {facts.st_size:,} bytes are on the disk", str(path))


_HEADER, _CHECKSUM = "multimodal_vae", "sha256"


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of tensors with their names, types and shapes, and of metadata."""
    state = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return state.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LONGEST_LINE = 2**24
"""Maximum length of a line in a table, which bounds the memory that a damaged file can take."""


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as the text of a CSV file whose cells are no formulas to a spreadsheet."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(map(quote_formula, row) for row in rows)
    return text.getvalue()


def csv_row(cells: Sequence[str]) -> str:
    """Return cells as one CSV row, without the end of the line; empty if all of them are.

    Example:
        >>> csv_row(["1.5", "a, b", ""]), csv_row(["", ""])
        ('1.5,"a, b",', '')
    """
    row = ",".join(cells)
    if len(cells) > 1 and row.count(",") == len(cells) - 1 and not _QUOTED.search(row):
        return row if any(cells) else ""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue() if any(cells) else ""


def split_csv_row(row: str) -> list[str]:
    """Return the cells that :func:`csv_row` was given; an empty row has one.

    Example:
        >>> split_csv_row('1.5,"a, b",')
        ['1.5', 'a, b', '']
    """
    if not _QUOTED.search(row):
        return row.split(",")
    return next(csv.reader(io.StringIO(row, newline="")), [""])


_QUOTED = re.compile(r"[\"\r\n\0]")
"""Characters that a CSV row without quotes does not have; such rows need no parser, which takes ten times as long."""


_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    "conin$",
    "conout$",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


def is_reserved_name(name: str) -> bool:
    """Return whether Windows keeps a file name for a device, such as ``CON`` or ``nul.txt``."""
    return unicodedata.normalize("NFKC", name).casefold().split(".")[0].rstrip() in _RESERVED


def bounded_lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a text file.

    Raises:
        csv.Error: naming the first line longer than :data:`LONGEST_LINE`, of which no more is read.
    """
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"line {number} has more than {LONGEST_LINE} characters, so this is not a table")
        yield line


PARTIAL, RESULT = ".partial", "result"
"""Suffix of the hidden folder that a new folder grows in, and the folder's name within it."""


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Hold the place of a new folder within a block, and yield the hidden folder ``.NAME.partial`` beside it.

    The hidden folder is locked, and removed at the end if it is empty. What a killed process left in it stays, for the
    next one to resume or remove.

    Raises:
        RunError: if ``path`` exists and is not an empty folder, cannot be written, or is claimed by another process.
    """
    target = path.resolve()  # a link to an empty folder stays
    partial = target.parent / f".{target.name}{PARTIAL}"
    if partial.is_symlink():
        raise RunError(f"{partial} is a link, which is not followed; remove it")
    if not partial.exists():
        require_vacant(path)  # before anything is created
    try:
        with locked(partial, path):
            require_vacant(path)
            yield partial
    finally:
        with suppress(OSError):
            partial.rmdir()


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet, and remove what killed processes left of writing it.

    Raises:
        RunError: if ``path`` exists, cannot be written, or is claimed by another process.
    """
    with claimed(path):
        remove_leftovers(path.parent, glob.escape(path.name))
        write_bytes(path, content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an unfinished folder, which becomes ``path`` at the end of the block, or is removed if the block fails.

    What a killed process left of the same folder is removed.

    Raises:
        RunError: if ``path`` exists and is not an empty folder, cannot be written, or is claimed by another process.
    """
    with claimed(path) as partial:
        others = sorted({each.name for each in partial.iterdir()} - {LOCK, RESULT})
        if others:
            raise RunError(f"{partial} holds {others[0]!r}, of an unfinished generation; finish or remove it")
        result = partial / RESULT
        try:
            if result.exists():
                shutil.rmtree(result)
            result.mkdir()
            yield result
            move_into_place(result, path)
        except OSError as error:
            raise RunError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(result, ignore_errors=True)


def move_into_place(folder: Path, path: Path) -> None:
    """Rename a folder to the place of an empty folder, or of none; a link to an empty folder stays."""
    target = path.resolve()
    if target.exists():
        target.rmdir()
    folder.rename(target)


def require_vacant(path: Path, *ignored: str) -> None:
    """Raise RunError if there is anything at a path but a folder that is empty except for ignored names."""
    try:
        vacant = not os.path.lexists(path) or (path.is_dir() and {each.name for each in path.iterdir()} <= {*ignored})
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    if not vacant:
        raise RunError(f"{path} already exists; choose another place, or remove it")
