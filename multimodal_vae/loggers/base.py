"""Base class of loggers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from multimodal_vae.part import Part

MEMORY = "machine.memory_gib"
"""Name of the metric of peak memory."""


class Logger(Part, ABC):
    """Receive the metrics of a training once per epoch."""

    kind = "logger"

    displays_progress: ClassVar[bool] = False
    """Whether it prints for the user; such a logger is left out by ``--quiet`` and ``show=False``."""

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Prepare, before the first step.

        Args:
            folder: the run's folder; None if it has none.
            configuration: the run's settings as a table, with all defaults.
        """

    def rewind(self, step: int) -> None:
        """Discard what was logged after a step; a training that resumes there logs it again."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of one epoch.

        Args:
            step: number of optimizer steps since the start.
            values: ``epoch``, counted from 1; ``training.<term>`` and, with validation data, ``validation.<term>``:
                means over the epoch of ``loss`` and the terms of
                :meth:`~multimodal_vae.model.MultimodalVAE.forward`; ``machine.seconds``, duration of the epoch;
                ``machine.threads``, number of processor threads; and ``machine.memory_gib``, peak memory so far, of
                the CUDA device or else of the process, left out where the system does not report it.
        """

    def close(self) -> None:
        """Release resources; called however the training ends."""
