"""Progress of long work on a terminal: who does the work counts its parts, and who asked for it may show them."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from multimodal_vae.errors import printable

T = TypeVar("T")

_display: ContextVar[Progress | None] = ContextVar("display", default=None)


@contextmanager
def shown(console: Console | None = None) -> Iterator[None]:
    """Show, within a block, a bar with the time left for each piece of work that is counted; on a terminal only.

    Args:
        console: console to draw on. Default: standard error.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as display:
        token = _display.set(display)
        try:
            yield
        finally:
            _display.reset(token)


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
