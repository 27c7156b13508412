"""TOML from outside: read with bounded time and memory."""

import re
import tomllib
from pathlib import Path
from typing import Any

from multimodal_vae.errors import ConfigurationError

LARGEST = 2**20
"""Most bytes of a file."""

DEEPEST = 32
"""Most tables and arrays within each other."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{DEEPEST}}}")


class TOMLError(ValueError):
    """Text that is not TOML, or beyond the bounds."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: if it is missing, is not a regular file, or has more than :data:`LARGEST` bytes.
        TOMLError: as :func:`parse_toml` does, or if it is not UTF-8.
    """
    from multimodal_vae.files import read_regular  # with torch, which parsing does not need

    try:
        text = read_regular(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TOMLError(f"it is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    return parse_toml(re.sub("\r\n?", "\n", text))


def parse_setting(text: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``; a value that is not TOML is text.

    Raises:
        ConfigurationError: without an equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--set takes KEY=VALUE, not {text!r}")
    try:
        return key.strip(), parse_toml(f"value = {value}")["value"]
    except TOMLError:
        return key.strip(), value


def parse_part(text: str) -> str | dict[str, Any]:
    """Return a part as the command line gives it: a name, or a table with a name.

    Raises:
        ConfigurationError: if text that begins with a brace is no TOML table.

    Example:
        >>> parse_part("kde"), parse_part('{name = "kde", bandwidth = 0.4}')
        ('kde', {'name': 'kde', 'bandwidth': 0.4})
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        table: dict[str, Any] = parse_toml(f"part = {text}")["part"]
    except TOMLError as error:
        raise ConfigurationError(f"{text!r} is no TOML table: {error}") from error
    return table


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        TOMLError: with the place of the fault; also beyond :data:`DEEPEST` levels, whose memory grows with the square
            of their number, and for integers of more than 64 bits.
    """
    if _LONG_KEY.search(text):
        raise TOMLError(f"a key has more than {DEEPEST} parts")
    too_deep = f"tables or arrays are more than {DEEPEST} levels deep"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TOMLError(str(error)) from error
    except RecursionError as error:
        raise TOMLError(too_deep) from error
    except ValueError as error:  # more digits than Python converts
        raise TOMLError(_TOO_LARGE) from error
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        level = [item for value in level for item in _items(value)]
        if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in level):
            raise TOMLError(_TOO_LARGE)
    if any(map(_items, level)):
        raise TOMLError(too_deep)
    return table


_TOO_LARGE = "an integer has more than 64 bits"


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
