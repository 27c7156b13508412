"""Writing files so that nothing half written is ever found in their place."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import safetensors
import safetensors.torch
from torch import Tensor

from multimodal_vae.errors import RunError
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
    """Write a safetensors file; the same tensors give the same bytes. Views are written as tensors of their own."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(plain, dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file and its metadata; no code in a file is ever run.

    Raises:
        RunError: if it is missing, cut short, or something else.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"there is no file {path}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise RunError(f"{path} is no whole safetensors file: {error}") from error


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
