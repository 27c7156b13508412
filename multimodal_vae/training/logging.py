"""Loggers of a training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from multimodal_vae.loggers.base import Logger
from multimodal_vae.part import plain
from multimodal_vae.training.loop import Epoch


@contextmanager
def log_epochs(
    loggers: Sequence[Logger], folder: Path | None, configuration: Mapping[str, Any], done: int = 0
) -> Iterator[Callable[[Epoch], None]]:
    """Open loggers within a block, and give the function that logs an epoch; all are closed, even if one fails.

    Args:
        loggers: the loggers.
        folder: folder of the training; None if it has none.
        configuration: settings of the run.
        done: number of steps after which the training resumes.
    """

    def log(epoch: Epoch) -> None:
        for logger in loggers:
            logger.log(epoch.steps, epoch.values)

    with ExitStack() as stack:
        for logger in loggers:
            logger.open(folder, plain(dict(configuration)))
            stack.callback(logger.close)
            logger.rewind(done)
        yield log
