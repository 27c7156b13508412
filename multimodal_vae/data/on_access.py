"""Sequences whose items are made on access."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class OnAccess(Sequence[T_co]):
    """A sequence that makes each item when it is asked for; a slice is a list of items."""

    @abstractmethod
    def item(self, index: int) -> T_co:
        """Return the item of an index, which may count from the end."""

    @overload
    def __getitem__(self, index: int) -> T_co: ...

    @overload
    def __getitem__(self, index: slice) -> list[T_co]: ...

    def __getitem__(self, index: int | slice) -> T_co | list[T_co]:
        if isinstance(index, slice):
            return [self.item(each) for each in range(*index.indices(len(self)))]
        return self.item(index)
