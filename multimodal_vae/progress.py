"""Progress of long work, which counts its parts, on a terminal or in a notebook of those who ask for it."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from multimodal_vae.errors import printable
from multimodal_vae.notebook import CellOutput

T = TypeVar("T")

_display: ContextVar["_Bars | None"] = ContextVar("display", default=None)


class _Bars(Progress):
    """Bars that rich draws on a terminal, and the output of a cell in a notebook."""

    def start(self) -> None:
        if self.console.is_jupyter:
            self._output = CellOutput(self)
        else:
            super().start()

    def stop(self) -> None:
        if self.console.is_jupyter:
            self._output.close()
        else:
            super().stop()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        if self.console.is_jupyter:
            self._output.refresh()


@contextmanager
def shown(console: Console | None = None) -> Iterator[None]:
    """Show, within a block, a bar with the time left for each piece of work that is counted.

    Bars are drawn on a terminal or in a notebook only, and removed at the end.

    Args:
        console: console to draw on. Default: standard error, or the output of a notebook's cell.
    """
    console = console or Console(stderr=True)
    if not can_redraw(console):
        yield
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _Bars(*columns, console=console, transient=True) as display:
        token = _display.set(display)
        try:
            yield
        finally:
            _display.reset(token)


def can_redraw(console: Console) -> bool:
    """Return whether a console can replace what it has drawn: it is a terminal, or the output of a notebook's cell."""
    return console.is_terminal or console.is_jupyter


def is_shown() -> bool:
    """Return whether progress is shown; older versions of rich refuse a second display."""
    return _display.get() is not None


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield items, and count those that are done where progress is shown.

    Args:
        items: what is worked on.
        what: what the bar says.
        total: number of items. Default: the length of a sequence; of other items, unknown, as is the time left.

    Example:
        >>> list(track([1, 2], "rows"))
        [1, 2]
    """
    display = _display.get()
    if display is None:
        yield from items
        return
    task = display.add_task(printable(what), total=len(items) if isinstance(items, Sized) else total)
    try:
        for item in items:
            yield item
            display.advance(task)
    finally:
        display.remove_task(task)
