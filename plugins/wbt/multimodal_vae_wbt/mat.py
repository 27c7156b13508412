"""Reading MATLAB files that may be damaged.

scipy's reader of version 5 files trusts their types and flags: one wrong byte can end the whole process, without a
message. A sweep needs little of the format, which is read here with every length checked. Source: "MAT-File Format",
The MathWorks, R2019b, chapter 1.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_vae import DataError

HEADER = 128
"""Bytes before the first variable: a text, the version, and the order of bytes."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers are stored; MATLAB stores an array in the smallest type that holds its values."""

MATRIX, COMPRESSED = 14, 15
STRUCT, ARRAYS = 2, range(6, 16)
"""Classes of variables: structs, and full arrays of numbers."""

COMPLEX = 0x800

MOST_BYTES = 1 << 28
"""No sweep unpacks to 256 MB; a small file that was made to fill the memory does."""


def load_mat(path: Path) -> dict[str, Any]:
    """Read the variables of a MATLAB file of version 4, 5, 6 or 7.

    Returns:
        By name: an array of real numbers, a list of a struct array's records, each a dict, or None for all else.

    Raises:
        DataError: if it is no such file, or is damaged.
    """
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError("is too large for a sweep")
    version = content[124:HEADER]
    if version in (b"\x00\x02IM", b"\x02\x00MI"):
        raise DataError("is a MATLAB file of version 7.3, which is not read; save it again with the option '-v7'")
    try:
        if version in (b"\x00\x01IM", b"\x01\x00MI"):
            return dict(_variables(content[HEADER:], "<" if version.endswith(b"IM") else ">"))
        if 0 in content[:4]:
            return _version_4(content)
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"is a damaged MATLAB file ({type(error).__name__}: {error})") from error
    raise DataError("is no MATLAB file")


def _version_4(content: bytes) -> dict[str, Any]:
    from scipy.io import loadmat

    variables: dict[str, Any] = loadmat(io.BytesIO(content))  # type: ignore[arg-type]  # the stubs know paths only
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _variables(content: bytes, order: str) -> Iterator[tuple[str, Any]]:
    for kind, data in _elements(content, order):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            unpacked = stream.decompress(data, MOST_BYTES)
            if not stream.eof:
                raise ValueError("a variable is cut short")
            yield from _variables(unpacked, order)
        elif kind == MATRIX:
            yield _matrix(data, order)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each element."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        end = start + size + (0 if kind == COMPRESSED else -size % 8)
        if kind >> 16:  # a short element: length and type share a word, and the data takes the other
            kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        data = content[start : start + size]
        if len(data) < size:
            raise ValueError(f"an element of {size} bytes is cut short")
        yield kind, data
        place = end


def _matrix(content: bytes, order: str) -> tuple[str, Any]:
    """Read a variable's name and value."""
    elements = _elements(content, order)
    flags, shape, name = (next(elements)[1] for _ in range(3))
    kind = struct.unpack_from(f"{order}I", flags)[0]
    count = math.prod(sizes := np.frombuffer(shape, f"{order}i4").tolist())
    value: Any = None
    if kind & 0xFF == STRUCT:
        length = struct.unpack(f"{order}i", next(elements)[1])[0]
        names = next(elements)[1]
        fields = [names[at : at + length].rstrip(b"\0").decode() for at in range(0, len(names), length)]
        value = [{field: _matrix(next(elements)[1], order)[1] for field in fields} for _ in range(count)]
    elif kind & 0xFF in ARRAYS and not kind & COMPLEX:
        stored, data = next(elements)
        value = np.frombuffer(data, order + NUMBERS[stored]).astype(np.float64).reshape(sizes, order="F")
    return name.decode(), value
