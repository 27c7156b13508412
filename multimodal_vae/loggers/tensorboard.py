"""Write metrics for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.files import inside, make_folder
from multimodal_vae.loggers.base import Logger


class TensorBoard(Logger):
    """Write event files to ``tensorboard`` in the run's folder, if it has one; needs the extra ``tensorboard``.

    ``tensorboard --logdir runs`` shows them.
    """

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Set the folder."""
        self._folder, self._start_step = folder, 0
        self._writer: Any = None

    def rewind(self, step: int) -> None:
        """Make TensorBoard ignore what was logged after this step."""
        self._start_step = step

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each metric; the first dot of its name becomes a level.

        Raises:
            ConfigurationError: if TensorBoard is not installed.
            RunError: if the folder cannot be written.
        """
        if self._folder is None:
            return
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ConfigurationError(
                    "logger 'tensorboard' needs TensorBoard: pip install 'multimodal-vae[tensorboard]'"
                ) from error
            writer: Any = SummaryWriter
            folder = inside(self._folder, "tensorboard")
            make_folder(folder)
            self._writer = writer(folder, purge_step=self._start_step + 1 if self._start_step else None)
        for name, value in values.items():
            self._writer.add_scalar(name.replace(".", "/", 1), value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
