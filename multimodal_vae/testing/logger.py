"""Laws of loggers."""

from pathlib import Path
from tempfile import TemporaryDirectory

from multimodal_vae.loggers.base import Logger
from multimodal_vae.testing.exercise import CONFIGURATION, FIGURES
from multimodal_vae.testing.law import expect, law


@law("logger")
def takes_the_figures_of_any_training(part: Logger) -> None:
    """Figures with and without validation, finite or not, are taken, epoch after epoch, and left as they are."""
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        for step, values in enumerate((FIGURES, {"epoch": 2, "training.loss": float("nan")}), start=1):
            given = dict(values)
            part.log(step, given)
            expect(list(given.items()) == list(values.items()), "figures that it changed", "figures as they were given")
        part.rewind(1)  # a training that was interrupted goes on from its first step
        part.log(2, FIGURES)
        part.close()


@law("logger")
def does_without_a_folder(part: Logger) -> None:
    """A training that leaves no run folder can be logged all the same."""
    part.open(None, CONFIGURATION)
    part.rewind(0)
    part.log(1, FIGURES)
    part.close()


@law("logger")
def may_be_closed_before_anything_is_logged(part: Logger) -> None:
    """A training may end before its first epoch does."""
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        part.close()
