"""Figures as TensorBoard draws them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.loggers.base import Logger


class TensorBoard(Logger):
    """Event files in the run's folder ``tensorboard``, for ``tensorboard --logdir``; needs the extra ``tensorboard``.

    Where the run leaves no folder there is nothing to write.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Remember the folder."""
        self._folder, self._begun = folder, 0
        self._writer: Any = None

    def rewind(self, step: int) -> None:
        """Let TensorBoard pass over what was logged after this step."""
        self._begun = step

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each figure's curve; dots in its name become levels.

        Raises:
            ConfigurationError: if TensorBoard is not installed.
        """
        if self._folder is None:
            return
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ConfigurationError(
                    "the logger 'tensorboard' needs TensorBoard: pip install 'multimodal-vae[tensorboard]'"
                ) from error
            writer: Any = SummaryWriter
            self._writer = writer(self._folder / "tensorboard", purge_step=self._begun + 1 if self._begun else None)
        for name, value in values.items():
            self._writer.add_scalar(name.replace(".", "/", 1), value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
