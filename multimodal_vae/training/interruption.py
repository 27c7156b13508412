"""Being asked to stop: heard when a step is done, so that no step is ever half taken."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether SIGTERM or Ctrl-C has asked to stop; false until it has."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; a second Ctrl-C stops at once."""
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Listen to SIGTERM and Ctrl-C for the length of a block; only the main thread can, elsewhere nothing is heard."""
    heard = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {number: signal.signal(number, heard.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
