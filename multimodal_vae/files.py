"""Writing files so that nothing half written is ever found in their place."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from multimodal_vae.errors import RunError, one_line
from multimodal_vae.part import explain

T = TypeVar("T")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it to disk, and rename it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, and flush it to disk."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people: indented, ended by a newline."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, wanted: type[T]) -> T:
    """Read JSON of a known form.

    Args:
        path: the file.
        wanted: its form, such as a ``TypedDict``.

    Raises:
        RunError: if it is missing, no JSON, or of another form.
    """
    try:
        return pydantic.TypeAdapter(wanted).validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except pydantic.ValidationError as error:
        raise RunError(f"{path} is damaged: {explain(error)}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; the same tensors give the same bytes. Views are written as tensors of their own.

    A checksum goes with them, since safetensors has none and a flipped bit would pass for a weight.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    facts = {**metadata, _CHECKSUM: digest(plain, metadata)}
    # One entry, since safetensors writes several in an order of its own each time.
    write_bytes(path, safetensors.torch.save(plain, {_FACTS: json.dumps(facts, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file that :func:`write_tensors` made, and its metadata; no code in a file is ever run.

    Raises:
        RunError: if it is missing, cut short, altered, or something else.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)
            facts = (file.metadata() or {}).get(_FACTS, "{}")
    except FileNotFoundError:
        raise RunError(f"there is no file {path}") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is no whole safetensors file: {one_line(error)}") from error
    try:
        metadata = pydantic.TypeAdapter(dict[str, str]).validate_json(facts)
    except pydantic.ValidationError:
        metadata = {}
    if metadata.pop(_CHECKSUM, "") != digest(tensors, metadata):
        raise RunError(f"{path} is not as it was written: its checksum is another")
    return tensors, metadata


_FACTS, _CHECKSUM = "multimodal_vae", "sha256"


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of tensors with their names, and of what is said of them."""
    state = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return state.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LONGEST_LINE = 2**24
"""Letters of a line of text; a file whose lines are longer is no table, and could ask for any amount of memory."""


def bounded_lines(file: TextIO) -> Iterator[str]:
    """The lines of a text file, none of them longer than :data:`LONGEST_LINE`.

    Raises:
        csv.Error: naming the first that is longer, of which no more than that has been read.
    """
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"line {number} has more than {LONGEST_LINE} letters, so this is no table")
        yield line


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes its place at the end of the block, or vanishes if the block fails.

    Raises:
        RunError: if the place is taken or cannot be written.
    """
    require_vacant(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    try:
        yield beside
        beside.chmod(0o755)
        if path.exists():
            path.rmdir()
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_vacant(path: Path) -> None:
    """Refuse a place that holds anything."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise RunError(f"{path} exists already; choose another place, or remove it first")
