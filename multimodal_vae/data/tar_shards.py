"""Samples in tar files in the form of WebDataset: members ``KEY.FIELD`` that follow one another are one sample.

The key of a member is its path up to the first dot of its file name, as WebDataset has it; the field is the rest. A
suffix may follow the field, as in ``s1.photo.png``. Other members, and those of other fields, are not read.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from multimodal_vae.errors import DataError, one_line
from multimodal_vae.files import open_regular
from multimodal_vae.modalities.base import LARGEST_FILE

_NAME = re.compile(r"((?:.*/|)[^./]+)\.([^/]+)", re.DOTALL)
_SUFFIX = re.compile(r"(\.\w{1,20}){0,3}")
_PICKLES = (".pyd", ".pth", ".pt", ".pkl", ".pickle")
"""Suffixes of pickles, which can run code."""


class Content(NamedTuple):
    """The content of a file.

    Attributes:
        data: its bytes.
        suffix: its suffix, such as ``.png``; empty if unknown.
    """

    data: bytes
    suffix: str


def tar_samples(path: Path, fields: Iterable[str]) -> Iterator[tuple[str, dict[str, Content]]]:
    """Yield the key of each sample of a tar file, and the content of its members by field.

    Raises:
        DataError: naming file and member, if the file is damaged, or a member is too large, a pickle or given twice.
    """
    longest_first = sorted(fields, key=len, reverse=True)
    try:
        with open_regular(path) as opened, tarfile.open(fileobj=opened, mode="r:") as archive:
            for key, group in groupby(_members(archive), key=lambda each: each[0]):
                sample: dict[str, Content] = {}
                for _, extension, member in group:
                    field = next((each for each in longest_first if f"{extension}.".startswith(f"{each}.")), None)
                    if field is None:
                        continue
                    if field in sample:
                        raise DataError(f"{path}, sample {key!r} has two members of {field!r}; keep one")
                    try:
                        sample[field] = _read(archive, member, extension[len(field) :] or f".{field}")
                    except DataError as error:
                        raise DataError(f"{path}, member {member.name!r} {error}") from error
                yield key, sample
            opened.seek(archive.offset)
            if opened.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError("no end mark")
    except FileNotFoundError:
        raise DataError(f"there is no shard {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
    except tarfile.TarError as error:
        raise DataError(
            f"{path} is truncated or no uncompressed tar file ({one_line(error)}); copy or unpack it again"
        ) from error


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Yield key, field with suffix, and member."""
    for member in archive:
        match = _NAME.fullmatch(member.name)
        if match and not member.isdir():
            yield match[1], match[2], member
        archive.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps all of them


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> Content:
    if suffix.lower().endswith(_PICKLES):
        raise DataError("is a pickle, which can run code; store an array as .npy")
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or not _SUFFIX.fullmatch(suffix):
        raise DataError("is a link, a device, or has an unusual suffix; store a regular file")
    if member.size > LARGEST_FILE:
        raise DataError(f"has {member.size:,} bytes; at most {LARGEST_FILE:,} are read")
    return Content(file.read(), suffix)
