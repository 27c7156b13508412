"""Trainings that stop after a known step, as if by Ctrl-C."""

import contextlib

from multimodal_vae.training import loop


@contextlib.contextmanager
def stopped_after(steps, monkeypatch):
    """Request a stop after so many steps."""
    answers = iter([False] * (steps - 1) + [True] * 99)

    class Request:
        def __bool__(self):
            return next(answers)

    @contextlib.contextmanager
    def catch_signals():
        yield Request()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "catch_signals", catch_signals)
        yield
