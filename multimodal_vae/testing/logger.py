"""Laws of loggers."""

from pathlib import Path
from tempfile import TemporaryDirectory

from multimodal_vae.loggers.base import Logger
from multimodal_vae.testing.exercise import CONFIGURATION, METRICS
from multimodal_vae.testing.law import expect, law


@law("logger")
def logs_any_metrics(part: Logger) -> None:
    """Metrics with and without validation, finite or not, are logged epoch after epoch and not modified."""
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        for step, values in enumerate((METRICS, {"epoch": 2, "training.loss": float("nan")}), start=1):
            given = dict(values)
            part.log(step, given)
            expect(list(given.items()) == list(values.items()), "changed metrics", "unchanged metrics")
        part.rewind(1)  # an interrupted training resumes from its first step
        part.log(2, METRICS)
        part.close()


@law("logger")
def works_without_a_folder(part: Logger) -> None:
    """A training without a run folder can be logged."""
    part.open(None, CONFIGURATION)
    part.rewind(0)
    part.log(1, METRICS)
    part.close()


@law("logger")
def closes_before_anything_is_logged(part: Logger) -> None:
    """A training may end before its first epoch does."""
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        part.close()
