"""The door for a logger of your own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from multimodal_vae.part import Part

MEMORY = "machine.memory_gib"
"""Name of the figure that is the peak of memory."""


class Logger(Part, ABC):
    """Takes the figures of a training, once an epoch, wherever its author wants them."""

    kind = "logger"

    shows: ClassVar[bool] = False
    """Whether it speaks to the person who waits; such a logger is left out where nothing is to be shown."""

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Begin, before the first step.

        Args:
            folder: of the run; None where it leaves none.
            configuration: the run's settings as a table, defaults included.
        """

    def rewind(self, step: int) -> None:
        """Forget what was logged after a step: an interrupted training goes on from there, and logs it again."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take one epoch's figures.

        Args:
            step: optimizer steps since the start.
            values: ``epoch``, counted from 1; ``training.<term>`` and, where there is a validation set,
                ``validation.<term>``, means over the epoch, the terms being ``loss`` and those of
                :meth:`~multimodal_vae.model.MultimodalVAE.forward`; and what no two runs share: ``machine.seconds``, of
                the epoch, and ``machine.memory_gib``, the process's peak so far, on a CUDA device that of the device,
                left out where the system does not tell.
        """

    def close(self) -> None:
        """End, however the training ended."""
