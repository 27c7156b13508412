"""Interrupt a training, as Ctrl-C does, after a given number of steps."""

import contextlib

from multimodal_vae.training import loop


@contextlib.contextmanager
def stopped_after(steps, monkeypatch):
    """Interrupt the training in this block after so many steps."""
    flags = iter([False] * (steps - 1) + [True] * 99)

    class Interrupted:
        def __bool__(self):
            return next(flags)

    @contextlib.contextmanager
    def interruption():
        yield Interrupted()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "interruption", interruption)
        yield
