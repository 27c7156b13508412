"""Requests to stop by signal, which a training obeys between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """True once SIGTERM or Ctrl-C has been received."""

    def __init__(self) -> None:
        self._received = False

    def __bool__(self) -> bool:
        return self._received

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Record a signal; a second Ctrl-C interrupts immediately."""
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = True


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Record SIGTERM and Ctrl-C within a block instead of interrupting it; only the main thread can."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
