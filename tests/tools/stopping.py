"""Trainings that are asked to stop, as by Ctrl-C, but after a known step."""

import contextlib

from multimodal_vae.training import loop


@contextlib.contextmanager
def stopped_after(steps, monkeypatch):
    """Ask to stop once so many steps are done."""
    asked = iter([False] * (steps - 1) + [True] * 99)

    class Asked:
        def __bool__(self):
            return next(asked)

    @contextlib.contextmanager
    def interruption():
        yield Asked()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "interruption", interruption)
        yield
