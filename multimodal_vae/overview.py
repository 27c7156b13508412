"""Short descriptions of objects, as text and as a table for notebooks."""

import html
from collections.abc import Mapping

from multimodal_vae.errors import listing, printable


class Overview:
    """Base of classes that describe themselves in a few lines: what they hold, how many, and what is missing."""

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return a title, and what there is by name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, entries = self.overview()
        return "\n".join(printable(line) for line in (title, *(f"  {name}: {text}" for name, text in entries.items())))

    def _repr_html_(self) -> str:
        """Return the description as a table, which notebooks show."""
        title, entries = self.overview()
        cells = [(html.escape(printable(name)), html.escape(printable(text))) for name, text in entries.items()]
        rows = "".join(f'<tr><th style="text-align: left">{name}</th><td>{text}</td></tr>' for name, text in cells)
        return f"<table><caption>{html.escape(printable(title))}</caption>{rows}</table>"


def counted(counts: Mapping[str, int], most: int = 8) -> str:
    """Return names with their counts, of which there may be many.

    Example:
        >>> counted({"NOE": 1200, "OME": 419, "AOM": 211}, most=2)
        'NOE 1,200, OME 419 and 1 more'
    """
    return listing((f"{name} {count:,}" for name, count in counts.items()), most)


def shaped(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it.

    Example:
        >>> shaped((3, 64, 64))
        '3 x 64 x 64'
    """
    return " x ".join(map(str, shape)) or "1"
