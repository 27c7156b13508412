"""Many short texts in little memory, such as the cells of a manifest's column."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.data.on_access import OnAccess

BLOCK = 4096
"""Texts per block of :class:`Texts`."""


class Texts(OnAccess[str]):
    """Texts in blocks of one string each: a text takes its characters and eight bytes, and 49 bytes less than alone.

    Args:
        texts: the texts.

    Example:
        >>> texts = Texts(["s1", "", "s2"])
        >>> texts[2], texts[:2], len(texts), "s3" in texts
        ('s2', ['s1', ''], 3, False)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._blocks: list[str] = []
        self._ends = array("q")  # of each text in its block
        rest = iter(texts)
        while block := list(islice(rest, BLOCK)):
            self.append_block(block)

    def append_block(self, texts: Sequence[str]) -> None:
        """Add texts; each block but the last must have :data:`BLOCK`."""
        self._ends.extend(accumulate(map(len, texts)))
        self._blocks.append("".join(texts))

    def __len__(self) -> int:
        return len(self._ends)

    def item(self, index: int) -> str:
        """Return one text."""
        index = range(len(self))[index]
        number, place = divmod(index, BLOCK)
        return self._blocks[number][self._ends[index - 1] if place else 0 : self._ends[index]]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(map(self._block, range(len(self._blocks))))

    def _block(self, number: int) -> Iterator[str]:
        ends = self._ends[number * BLOCK : (number + 1) * BLOCK]
        return map(self._blocks[number].__getitem__, map(slice, chain((0,), ends), ends))

    def are_filled(self) -> NDArray[np.bool_]:
        """Return which texts are not empty, (N,)."""
        ends = np.array(self._ends)
        starts = np.roll(ends, 1)
        starts[::BLOCK] = 0
        return ends > starts
