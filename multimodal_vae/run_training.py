"""The trainings of a run: its model, and then its refiners; process 0 logs them and records their progress."""

from pathlib import Path

from multimodal_vae import distributed
from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import TrainingInterrupted
from multimodal_vae.files import inside, make_folder, write_tensors
from multimodal_vae.loggers.base import Logger
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_checks import refiner_of
from multimodal_vae.run_folder import REFINER, RunFolder, State, refiner_folders
from multimodal_vae.training.checkpoint import Position, read_position
from multimodal_vae.training.logging import log_epochs
from multimodal_vae.training.loop import Epoch, train
from multimodal_vae.training.refining import train_refiner
from multimodal_vae.training.settings import Training


def train_model(
    folder: RunFolder | None,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    configuration: Configuration,
    show: bool,
) -> None:
    """Train the model of a run, and write its weights and status into the run's folder, if any.

    Raises:
        TrainingInterrupted: on SIGTERM or Ctrl-C, with how to resume.
    """
    start = read_position(folder.checkpoint) if folder else Position()
    epochs_done = start.epoch - 1
    state: State = "failed"
    try:
        with log_epochs(
            _loggers(configuration.training, show), folder.path if folder else None, dict(configuration), start.steps
        ) as log:

            def on_epoch(epoch: Epoch) -> None:
                nonlocal epochs_done
                log(epoch)
                epochs_done = epoch.number
                if folder and distributed.rank() == 0:
                    folder.write_status("training", epochs_done)

            checkpoint = folder.checkpoint if folder else None
            train(vae, data, validation, configuration.training, on_epoch, show, checkpoint)
        state = "refining" if configuration.refiners else "done"
    except KeyboardInterrupt:
        state = "interrupted"
        epochs = configuration.training.length(1).epochs
        raise TrainingInterrupted(
            f"training was interrupted after {epochs_done} of {epochs} epochs{_resume(folder)}"
        ) from None
    finally:
        if folder and distributed.rank() == 0:
            folder.close(vae, state, epochs_done)


def train_refiners(
    folder: RunFolder,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    configuration: Configuration,
    show: bool,
) -> None:
    """Train the refiners of a run that are not trained yet, one after the other, and record that the run is done.

    Raises:
        TrainingInterrupted: on SIGTERM or Ctrl-C, with how to resume.
    """
    for name, place in refiner_folders(folder.path, configuration).items():
        if not inside(place, REFINER).is_file():
            _train_refiner(folder, place, vae, data, validation, configuration, name, show)
    if configuration.refiners and distributed.rank() == 0:
        folder.write_status("done", folder.status["epochs_done"])


def _train_refiner(
    folder: RunFolder,
    place: Path,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    configuration: Configuration,
    name: str,
    show: bool,
) -> None:
    assert configuration.refinement is not None  # noqa: S101  (it has refiners)
    part, settings = configuration.refiners[name], configuration.refinement.training
    checkpoint = inside(place, "checkpoint.safetensors")
    start, described = read_position(checkpoint), {**dict(configuration), "training": settings}
    make_folder(place)
    try:
        with log_epochs(_loggers(settings, show), place, described, start.steps) as log:
            refiner = train_refiner(vae, data, validation, name, part, settings, log, show, checkpoint)
    except KeyboardInterrupt:
        raise TrainingInterrupted(f"{refiner_of(name)} was interrupted in its training{_resume(folder)}") from None
    if distributed.rank() == 0:
        write_tensors(inside(place, REFINER), refiner.state_dict(), {"format": "multimodal_vae refiner"})
        checkpoint.unlink(missing_ok=True)


def _loggers(training: Training, show: bool) -> list[Logger]:
    """Return the loggers of this process: all in process 0, without those that print if nothing is shown."""
    main_process = distributed.rank() == 0
    return [logger for logger in training.loggers if main_process and (show or not logger.displays_progress)]


def _resume(folder: RunFolder | None) -> str:
    return f"; rerun the same command or call to resume from {folder.path}" if folder else ""
