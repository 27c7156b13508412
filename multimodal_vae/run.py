"""A run: how it is made, what its folder holds, and how it is opened."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
from torch import Tensor
from typing_extensions import TypedDict

from multimodal_vae import distributed
from multimodal_vae.configuration import Configuration, DataSettings, ModelSettings
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEWarning,
    RunError,
    SamplerError,
    TrainingInterrupted,
)
from multimodal_vae.files import read_json, read_tensors, require_vacant
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.part import Part, explain_settings, plain
from multimodal_vae.provenance import register_classes, register_instances, require
from multimodal_vae.run_folder import EnvironmentRecord, RunFolder, State, Status, is_begun
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.synthesis.comparison import HeldOutLikelihood, held_out_likelihood
from multimodal_vae.synthesis.synthesizer import Synthesizer
from multimodal_vae.training.checkpoint import Position, read_position
from multimodal_vae.training.loop import Epoch, find_device, train
from multimodal_vae.training.precision import resolve_precision
from multimodal_vae.training.settings import Training


def fit(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None = None,
    test: MultimodalDataset | None = None,
    *,
    out: str | Path | None = None,
    configuration: Configuration | None = None,
    show: bool = True,
    **settings: Any,
) -> MultimodalVAE:
    """Train a model in place, and leave a run folder if a place for it is given.

    Args:
        vae: the model.
        data: training samples.
        validation: evaluated after each epoch, if any.
        test: only noted in the run folder as held out.
        out: a place that is empty or does not exist; or the folder of the same training, which then goes on from its
            last checkpoint, to the very weights that it would have had uninterrupted. One that is done is only read.
        configuration: the run's; made from the model and the settings where it is None.
        show: whether to show progress.
        settings: those of :class:`~multimodal_vae.training.settings.Training`, such as ``epochs=200``.

    Returns:
        The same model, on the CPU, in evaluation mode.

    Raises:
        ConfigurationError: if a setting is wrong, or given beside a configuration.
        RunError: if the place is taken by anything else, such as a training with another configuration or other data.
        TrainingInterrupted: on SIGTERM or Ctrl-C, after the step that was under way; what had been reached is in the
            run folder.
    """
    if configuration is None:
        try:
            training = Training(**settings)
        except pydantic.ValidationError as error:
            raise ConfigurationError(explain_settings(error, Training)) from error
        configuration = Configuration(
            data=DataSettings(
                manifest=data.source.resolve() if data.source else None, classes=data.classes, split="passed"
            ),
            modalities=vae.modalities,
            model=ModelSettings(
                fusion=vae.fusion,
                metric_loss=vae.metric_loss,
                latent_dim=vae.latent_dim,
                objective=vae.objective,
                seed=vae.seed,
            ),
            training=training,
        )
    elif settings:
        raise ConfigurationError(f"{sorted(settings)[0]!r} is given beside a configuration, which holds it already")
    training = configuration.training
    precision = resolve_precision(training.precision, training.device)
    configuration = configuration.with_data(classes=data.classes).with_training(precision=precision)
    parts = dict(zip(SPLITS, (data, validation, test), strict=True))
    with distributed.join_processes(find_device(configuration.training.device)):
        first = distributed.rank() == 0
        folder = RunFolder(Path(out), configuration.training.epochs) if out else None
        if folder and first:
            folder = RunFolder.begin(folder.path, configuration, parts)
        distributed.wait()
        if folder and folder.status["state"] == "done":
            _load_weights(vae, folder.weights)
            return vae.eval()
        _train_in(folder, vae, data, validation, configuration, show)
    return vae


def _train_in(
    folder: RunFolder | None,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    configuration: Configuration,
    show: bool,
) -> None:
    """Train, with what happens noted in the run's folder, if any, by the first of the processes that train."""
    first = distributed.rank() == 0
    loggers = [logger for logger in configuration.training.loggers if first and (show or not logger.displays_progress)]
    begun = read_position(folder.checkpoint) if folder else Position()
    done = begun.epoch - 1

    def on_epoch(epoch: Epoch) -> None:
        nonlocal done
        for logger in loggers:
            logger.log(epoch.steps, epoch.values)
        done = epoch.number
        if folder and first:
            folder.write_status("training", done)

    state: State = "failed"
    try:
        with ExitStack() as opened:  # which closes every one of them, whatever another does
            for logger in loggers:
                logger.open(folder.path if folder else None, plain(dict(configuration)))
                opened.callback(logger.close)
                logger.rewind(begun.steps)
            checkpoint = folder.checkpoint if folder else None
            train(vae, data, validation, configuration.training, on_epoch, show, checkpoint)
        state = "done"
    except KeyboardInterrupt:
        state = "interrupted"
        kept = f"; what was reached is in {folder.path}, and the same call goes on from there" if folder else ""
        epochs = configuration.training.epochs
        raise TrainingInterrupted(f"training was interrupted after {done} of {epochs} epochs{kept}") from None
    finally:
        if folder and first:
            folder.close(vae, state, done)


def _load_weights(vae: MultimodalVAE, path: Path) -> None:
    tensors, _ = read_tensors(path)
    try:
        vae.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit {path.with_name('config.toml')}: {str(error).splitlines()[-1]}") from error


class _SplitIds(TypedDict):
    train: list[str]
    validation: list[str]
    test: list[str]


class Run:
    """An opened run folder.

    Attributes:
        path: where it is.
        configuration: settings of the training.
        environment: versions, parts and hashes of the data when the training began.
        status: ``state`` (``training``, ``interrupted``, ``failed`` or ``done``), ``epochs_done`` and ``epochs``.
    """

    def __init__(self, path: Path, data: MultimodalDataset | None = None, parts: Sequence[type[Part]] = ()) -> None:
        if not (path / "config.toml").is_file():
            raise RunError(f"{path} is no run folder: it has no config.toml")
        self.environment = read_json(path / "environment.json", EnvironmentRecord)
        recorded, where = self.environment["parts"], f"the run {path}"
        register_classes(parts, recorded, where)
        require(recorded, where)
        self.path = path
        self.configuration = Configuration.read(path / "config.toml")
        self.status = read_json(path / "status.json", Status)
        self._data = data
        self._latents: dict[str, Tensor] = {}

    @cached_property
    def model(self) -> MultimodalVAE:
        """The trained model, in evaluation mode."""
        path = self.path / "model.safetensors"
        if not path.is_file():
            raise RunError(f"{self.path} holds no trained model: its training is in the state {self.status['state']!r}")
        vae = self.configuration.build(self.configuration.data.classes or [])
        _load_weights(vae, path)
        return vae.eval()

    @cached_property
    def data(self) -> MultimodalDataset:
        """All samples: read from the manifest anew, unless they were passed on opening."""
        if self._data is not None:
            return self._data
        if self.configuration.data.manifest is None:
            raise RunError(f"{self.path} was trained on data in memory; pass it: open_run(path, data=...)")
        return self.configuration.read_data()

    def read(self, manifest: str | Path) -> MultimodalDataset:
        """Other samples, with the run's modalities and classes: what its model is to be asked about.

        Args:
            manifest: with a column for each of the run's modalities, in which cells may be empty, and labels as well.

        Raises:
            DataError: naming manifest, line, sample, column and file of what is wrong.
        """
        settings = self.configuration.with_data(
            manifest=Path(manifest).resolve(), classes=self.model.classes, unreadable="refuse"
        )
        return settings.read_data()

    @cached_property
    def splits(self) -> dict[str, MultimodalDataset]:
        """``train``, ``validation`` and ``test`` as the run had them.

        Raises:
            RunError: if the data has changed since.
        """
        ids = read_json(self.path / "split.json", _SplitIds)
        hashes = self.environment["data"]
        row_of = {name: row for row, name in enumerate(self.data.ids)}
        parts: dict[str, MultimodalDataset] = {}
        for split in SPLITS:
            missing = [name for name in ids[split] if name not in row_of]
            if missing:
                raise RunError(f"the data of {self.path} has changed: the sample {missing[0]!r} of {split} is gone")
            parts[split] = self.data.subset(row_of[name] for name in ids[split])
            if ids[split] and hashes.get(split) != {"sha256": parts[split].fingerprint()}:
                raise RunError(f"the data of {self.path} has changed: samples of {split} are not what they were")
        return parts

    def synthesizer(self, sampler: Any = None, fit_on: str | None = None) -> Synthesizer:
        """The model with a density a class: read back if it was fitted before, else fitted and kept.

        Args:
            sampler: an instance, a name or a table; the configuration's where it is None.
            fit_on: ``train``, ``validation`` or ``test``; the configuration's where it is None.
        """
        wanted = DensitySampler.of(self.configuration.density.sampler if sampler is None else sampler)
        register_instances(wanted)
        split = self._split(fit_on)
        suffix = "" if split == self.configuration.density.fit_on else f"-{split}"
        name = wanted.name.replace(":", "-")  # which not every file system takes
        path = self.path / "samplers" / f"{name}{suffix}.safetensors"
        if path.is_file():
            kept = Synthesizer.load(path, self.model)
            if kept.sampler.configuration == wanted.configuration:
                return kept
        synthesizer = Synthesizer(self.model, wanted).fit(self._samples(split))
        path.parent.mkdir(exist_ok=True)
        synthesizer.save(path)
        return synthesizer

    def compare(self, sampler: Any, split: str | None = None, folds: int = 5) -> HeldOutLikelihood:
        """How likely latents are under densities of a sampler that were fitted without their patients, class by class.

        Args:
            sampler: an instance, a name or a table.
            split: whose latents; those that the run's densities are fitted on where it is None.
            folds: of whole patients.
        """
        split = self._split(split)
        data = self._samples(split)
        if split not in self._latents:  # several samplers are compared in turn
            self._latents[split] = self.model.embed(data)
        latents, part = self._latents[split], DensitySampler.of(sampler)
        return held_out_likelihood(part, latents, data.labels.tolist(), data.patients, data.classes, folds)

    def _split(self, name: str | None) -> str:
        split = name or self.configuration.density.fit_on
        if split not in SPLITS:
            raise RunError(f"densities can be fitted on {', '.join(SPLITS)}, not on {split!r}")
        return split

    def _samples(self, split: str) -> MultimodalDataset:
        if not len(self.splits[split]):
            raise RunError(f"the run {self.path} has no {split} samples to fit densities on")
        return self.splits[split]


def open_run(path: str | Path, data: MultimodalDataset | None = None, parts: Sequence[type[Part]] = ()) -> Run:
    """Open a run folder.

    Args:
        path: the folder.
        data: all samples, where the run was trained on data in memory.
        parts: the classes that the run used and that are no installed plugins, such as those of a notebook; each is
            registered for the session.

    Raises:
        RunError: if it is no run folder, a file in it is damaged, or a part now declares another behavior.
        PluginError: if a part of it is not installed, and not among ``parts``.

    Warns:
        MultimodalVAEWarning: if a part is of another version than the run was trained with.
    """
    return Run(Path(path), data, parts)


def train_run(configuration: Configuration, out: str | Path, show: bool = True) -> Run:
    """Read the data, train or go on training, fit the densities; the whole of ``mmvae train``."""
    out = Path(out)
    if not is_begun(out) and not (out / "config.toml").exists():
        require_vacant(out)  # before the data is read, which may take long
    data = configuration.read_data(progress=None if show else False)
    training, validation, test = configuration.split(data)
    vae = configuration.build(data.classes)
    fit(vae, training, validation if len(validation) else None, test, out=out, configuration=configuration, show=show)
    run = open_run(out, data)
    if distributed.rank() == 0:
        try:
            run.synthesizer()
        except SamplerError as error:  # which is no reason to lose the training
            warnings.warn(
                f"the training is done, and no density could be fitted: {error}", MultimodalVAEWarning, stacklevel=2
            )
    return run
