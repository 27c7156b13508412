"""Reading of MATLAB files that may be damaged or hostile.

scipy's reader trusts types and sizes: one wrong byte can end the process without a message, and 200 bytes can fill the
memory. A sweep needs only a part of the format, which this module reads with checked lengths. Source: "MAT-File
Format", The MathWorks, R2019b, chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_vae import DataError
from multimodal_vae.files import open_sample

HEADER = 128
"""Bytes before the first variable: a text, the version, and the byte order."""

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number types by code; MATLAB stores an array in the smallest type that holds its values."""

NUMBERS_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
"""Number types of version 4."""

MATRIX, COMPRESSED = 14, 15
STRUCT, CHARACTERS, OPAQUE, ARRAYS = 2, 4, 17, range(6, 16)
"""Classes of variables: structs, text, objects of newer classes such as string and table, full arrays of numbers."""

ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
"""Encodings of text by number type."""

COMPLEX = 0x800

MOST_BYTES = 1 << 26
"""Size of a file, and of its unpacked variables together, above which it is refused."""

MOST_NUMBERS = 1 << 21
"""Numbers in the wanted arrays of a file, above which it is refused."""

MOST_ITEMS = 30_000
"""Variables of a file, and values in its structs, above which it is refused."""

MOST_LEVELS = 8
"""Structs within structs that are read."""


def load_mat(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
    """Read the variables of a MATLAB file of version 4, 5, 6 or 7.

    Args:
        path: the file.
        wanted: whether to read the numbers or the text of a variable or field, by its name.

    Returns:
        By name: an array of real numbers; a text of one row; a list of dicts, the elements of a struct array; or None
        for anything else.

    Raises:
        DataError: if it is damaged, too large, or not such a file.
    """
    with open_sample(path, MOST_BYTES) as file:
        content = file.read(MOST_BYTES)
    version = content[124:HEADER]
    if version in (b"\x00\x02IM", b"\x02\x00MI"):
        raise DataError("is a MATLAB file of version 7.3, which is not read; save it again with the option '-v7'")
    try:
        if version in (b"\x00\x01IM", b"\x01\x00MI"):
            return _Reader("<" if version.endswith(b"IM") else ">", wanted).read(content[HEADER:])
        if 0 in content[:4]:
            return _Reader("<" if content[1:4].endswith(b"\0") else ">", wanted).read_4(content)
    except DataError:
        raise
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"is a damaged MATLAB file ({type(error).__name__}: {error})") from error
    raise DataError("is no MATLAB file")


class _Reader:
    """Reads the variables of one file, in bounded time and memory."""

    def __init__(self, order: str, wanted: Callable[[str], bool]) -> None:
        self.order = order
        self.wanted = wanted
        self.bytes = MOST_BYTES  # that may still be unpacked
        self.numbers = MOST_NUMBERS  # that may still be read
        self.items = MOST_ITEMS  # in structs, that may still be read

    def read(self, content: bytes) -> dict[str, Any]:
        """Read the variables of versions 5 to 7."""
        variables = {}
        for number, element in enumerate(self._elements(memoryview(content))):
            if number == MOST_ITEMS:
                raise DataError(f"has more than {MOST_ITEMS} variables, too many for a sweep")
            kind, data = next(self._elements(self._unpacked(element[1]))) if element[0] == COMPRESSED else element
            if kind == MATRIX:
                name, value = self._matrix(data)
                variables[name] = value
        return variables

    def read_4(self, content: bytes) -> dict[str, Any]:
        """Read the variables of version 4, each a header of five integers, a name, and numbers."""
        variables: dict[str, Any] = {}
        place = 0
        while place < len(content):
            if len(variables) == MOST_ITEMS:
                raise DataError(f"has more than {MOST_ITEMS} variables, too many for a sweep")
            form, rows, columns, imaginary, length = struct.unpack_from(f"{self.order}5i", content, place)
            machine, (kind, shape) = form // 100, divmod(form % 100, 10)
            if machine != (0 if self.order == "<" else 10) or min(rows, columns, length - 1) < 0 or shape > 2:
                raise ValueError(f"a variable of type {form}")
            start = place + 20 + length
            name = content[place + 20 : start].rstrip(b"\0").decode("latin-1")
            stored = np.dtype(self.order + NUMBERS_4[kind])
            place = start + stored.itemsize * rows * columns * (2 if imaginary else 1)
            if place > len(content):
                raise ValueError("a variable is cut short")
            value = None
            if shape < 2 and not imaginary:
                value = self._array(name, memoryview(content)[start:place], stored, [rows, columns])
            if shape == 1 and value is not None:  # the codes of characters
                value = "".join(map(chr, value.astype(np.uint8).ravel())) if rows == 1 else None
            variables[name] = value
        return variables

    def _unpacked(self, data: memoryview) -> memoryview:
        stream = zlib.decompressobj()
        unpacked = stream.decompress(data, self.bytes)
        self.bytes -= len(unpacked)
        if not self.bytes:
            raise DataError(f"unpacks to more than {MOST_BYTES >> 20} MB, too much for a sweep")
        if not stream.eof:
            raise ValueError("a variable is cut short")
        return memoryview(unpacked)

    def _elements(self, content: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield type and data of each element."""
        place = 0
        while place < len(content):
            kind, size = struct.unpack_from(f"{self.order}II", content, place)
            start = place + 8
            end = start + size + (0 if kind == COMPRESSED else -size % 8)
            if kind >> 16:  # a short element: length and type share a word, and the data takes the other
                kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
            data = content[start : start + size]
            if len(data) < size:
                raise ValueError(f"an element of {size} bytes is cut short")
            yield kind, data
            place = end

    def _matrix(self, content: memoryview, field: str = "", level: int = 0) -> tuple[str, Any]:
        """Read name and value of a variable, or of a field, whose name is known."""
        if not content:  # an empty field
            return field, None
        elements = self._elements(content)
        kind = int(struct.unpack_from(f"{self.order}I", next(elements)[1])[0])
        sizes = [] if kind & 0xFF == OPAQUE else np.frombuffer(next(elements)[1], f"{self.order}i4").tolist()
        own_name = bytes(next(elements)[1]).decode("latin-1")  # empty in a field
        name = field or own_name
        if kind & 0xFF == STRUCT and level < MOST_LEVELS:
            return name, self._records(elements, math.prod(sizes), level)
        if kind & 0xFF == CHARACTERS and sizes[0] == 1 and self.wanted(name):
            stored, data = next(elements)
            return name, bytes(data).decode(self._encoding(stored), "replace")
        if kind & 0xFF in ARRAYS and not kind & COMPLEX:
            stored, data = next(elements)
            return name, self._array(name, data, np.dtype(self.order + NUMBERS[stored]), sizes)
        return name, None

    def _encoding(self, stored: int) -> str:
        name = ENCODINGS[stored]
        return name + {"<": "-le", ">": "-be"}[self.order] if name == "utf-16" else name

    def _records(self, elements: Iterator[tuple[int, memoryview]], count: int, level: int) -> Any:
        """Read the elements of a struct array; None if it has no values, or too many for a sweep."""
        length = int(struct.unpack(f"{self.order}i", next(elements)[1])[0])
        names = bytes(next(elements)[1])
        values = len(names) // max(length, 1) * count
        if length < 1 or count < 0 or not values or values > MOST_ITEMS:
            return None
        self.items -= values
        if self.items < 0:
            raise DataError(f"holds more than {MOST_ITEMS} values in structs, too many for a sweep")
        fields = [names[at : at + length].rstrip(b"\0").decode("latin-1") for at in range(0, len(names), length)]
        return [{field: self._matrix(next(elements)[1], field, level + 1)[1] for field in fields} for _ in range(count)]

    def _array(self, name: str, data: memoryview, stored: np.dtype[Any], sizes: list[int]) -> Any:
        if not self.wanted(name):
            return None
        self.numbers -= len(data) // stored.itemsize
        if self.numbers < 0:
            raise DataError(f"holds more than {MOST_NUMBERS} numbers, too many for a sweep")
        return np.frombuffer(data, stored).astype(np.float64).reshape(sizes, order="F")
