"""Trainings that stop after a known step, as if by Ctrl-C."""

import contextlib

from multimodal_vae.training import loop


@contextlib.contextmanager
def stopped_after(steps, monkeypatch, module=loop):
    """Request a stop after so many steps of a training that the module starts."""
    answers = iter([False] * (steps - 1) + [True] * 99)

    class Request:
        def __bool__(self):
            return next(answers)

    @contextlib.contextmanager
    def catch_signals():
        yield Request()

    with monkeypatch.context() as patched:
        patched.setattr(module, "catch_signals", catch_signals)
        yield
