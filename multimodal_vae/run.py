"""A run: train it into a folder, and open the folder."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
from torch import Tensor
from typing_extensions import TypedDict

from multimodal_vae import distributed
from multimodal_vae.checks import checked
from multimodal_vae.configuration import Configuration, DataSettings, ModelSettings
from multimodal_vae.data.cache import is_cache
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEWarning,
    RunError,
    SamplerError,
    listing,
)
from multimodal_vae.files import file_sha256, inside, make_folder, read_json
from multimodal_vae.hub import download, is_place, require_shareable, upload
from multimodal_vae.locks import locked
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_checks import check_weights, refiner_of
from multimodal_vae.overview import Overview, shaped
from multimodal_vae.part import Part, explain_settings
from multimodal_vae.provenance import register_classes, register_instances, require
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.run_folder import (
    ADAPTED,
    REFINER,
    AdaptationRecord,
    EnvironmentRecord,
    RunFolder,
    State,
    Status,
    density_file,
    is_begun,
    load_weights,
    refiner_folders,
    require_new,
    writing,
)
from multimodal_vae.run_training import train_model, train_refiners
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.synthesis.comparison import HeldOutLikelihood, held_out_likelihood
from multimodal_vae.synthesis.synthesizer import Synthesizer, embed_versions
from multimodal_vae.training.holding_out import hold_out
from multimodal_vae.training.loop import find_device
from multimodal_vae.training.refining import build_refiner, prepare_refiner
from multimodal_vae.training.settings import Training, lists_settings
from multimodal_vae.training.suitability import check_suitable

if TYPE_CHECKING:
    from multimodal_vae.plots import SampleFigure


@lists_settings(Training)
@checked
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
    """Train a model in place, and write a run folder if ``out`` is given.

    Args:
        vae: the model.
        data: training samples.
        validation: samples to evaluate after each epoch. Default: a tenth of the patients, held out of ``data``, if
            these are at least 40 and ``early_stopping`` is not false. The run's ``split.json`` names them.
        test: held-out samples; only their names and hash are recorded.
        out: run folder to create; or the folder of the same training, which resumes from its last checkpoint with
            bit-identical results. If that training is done, its weights are loaded. Default: write nothing.
        configuration: configuration of the run. Default: made from the model and the settings. Its refiners, if any,
            are trained after the model, into the run folder.
        show: whether to show progress.
        settings: fields of :class:`~multimodal_vae.training.settings.Training`, such as ``steps=2000``.

    Returns:
        The same model, on the CPU, in evaluation mode.

    Raises:
        ConfigurationError: if a setting is invalid, or given together with a configuration.
        RunError: if the folder has other content, such as a training with another configuration or other data, or if
            another process writes it now.
        TrainingInterrupted: on SIGTERM or Ctrl-C, after the current step and a checkpoint in the run folder.

    Warns:
        MultimodalVAEWarning: of settings without effect; see
            :func:`~multimodal_vae.training.suitability.check_suitable`.
    """
    if configuration is None:
        try:
            training = Training(**settings)
        except pydantic.ValidationError as error:
            raise ConfigurationError(explain_settings(error, Training)) from error
        configuration = Configuration(
            data=DataSettings(
                manifest=data.source.resolve() if data.source else None,
                classes=data.classes,
                split="passed",
                join=data.joined,
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
        raise ConfigurationError(f"{sorted(settings)[0]!r} is given together with a configuration; set it there")
    training = configuration.training
    vae.check(data)
    if validation is None and training.early_stopping is not False:
        data, validation = hold_out(data, training.seed)
    check_suitable(vae, data, validation, training)
    configuration = configuration.with_data(classes=data.classes, covariates=data.covariate_types or None)
    configuration = configuration.resolved(len(data.classes), len(data), validation is not None)
    for name, refiner in configuration.refiners.items():  # refuses now what could not be trained after the model
        assert configuration.refinement is not None  # noqa: S101  (it has refiners)
        prepare_refiner(vae, data, validation, name, refiner, configuration.refinement.training)
    parts = dict(zip(SPLITS, (data, validation, test), strict=True))
    for part in (validation, test):
        if part is not None:
            vae.check(part)
    with (
        distributed.join_processes(find_device(configuration.training.device)),
        locked(Path(out)) if out else nullcontext(),
    ):
        folder = RunFolder(Path(out), configuration.training) if out else None
        if folder and distributed.rank() == 0:
            folder = RunFolder.begin(folder.path, configuration, parts)
        distributed.wait()
        state: State = folder.status["state"] if folder else "training"
        if folder and state in ("refining", "done"):
            folder.remove_checkpoint()  # of a process that was killed right at the end
            load_weights(vae, folder.weights, folder.path, vae.require_finite_weights)
            vae.eval()
        else:
            train_model(folder, vae, data, validation, configuration, show)
        if folder and state != "done":
            train_refiners(folder, vae, data, validation, configuration, show)
    return vae


class _SplitIds(TypedDict):
    train: list[str]
    validation: list[str]
    test: list[str]


class Run(Overview):
    """An opened run folder.

    Attributes:
        path: the folder.
        configuration: configuration of the run.
        environment: versions, parts and hashes of the data at the start of the training.
        status: ``state`` (``training``, ``refining``, ``interrupted``, ``failed`` or ``done``), ``epochs_done`` and
            ``epochs``.
    """

    def __init__(self, path: Path, data: MultimodalDataset | None = None, parts: Sequence[type[Part]] = ()) -> None:
        if not inside(path, "config.toml").is_file():
            raise RunError(f"{path} is not a run folder: it has no config.toml")
        self.environment = read_json(inside(path, "environment.json"), EnvironmentRecord)
        recorded, where = self.environment["parts"], f"the run {path}"
        register_classes(parts, recorded, where)
        require(recorded, where)
        self.path = path
        self.configuration = Configuration.read(path / "config.toml")
        self.status = read_json(inside(path, "status.json"), Status)
        self._data = data
        self._latents: dict[str, Tensor] = {}

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return the state of the training; and the classes, parts and modalities. Reads no samples."""
        status, model = self.status, self.configuration.model
        entries = {
            "training": f"{status['state']}, {status['epochs_done']:,} of {status['epochs']:,} epochs",
            "classes": listing(self.configuration.data.classes or ()),
            "fusion": model.fusion.name,
            "sampler": self.configuration.density.sampler.name,
        }
        for name, part in self.configuration.modalities.items():
            entries[f"modality {name}"] = f"{part.name}, {shaped(part.shape)}"
        if "splits" in self.__dict__:  # opened before
            entries["samples"] = ", ".join(f"{name} {len(part):,}" for name, part in self.splits.items())
        return f"Run: {self.path}", entries

    def plot(self, count: int = 2, seed: int | None = 0) -> "SampleFigure":
        """Draw new samples of each class; see :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.plot`."""
        return self.synthesizer().plot(count, seed)

    @cached_property
    def model(self) -> MultimodalVAE:
        """The trained model, in evaluation mode."""
        path = inside(self.path, "model.safetensors")
        if not path.is_file():
            raise RunError(
                f"{self.path} has no trained model yet; the state of its training is {self.status['state']!r}"
            )
        dimensions, size = self.configuration.model.latent_dim, path.stat().st_size
        if dimensions > size:  # refused before memory is taken for it
            raise RunError(
                f"{path} has {size} bytes, too few for latent_dim = {dimensions} in config.toml; restore both files"
            )
        vae = self.configuration.build(self.configuration.data.classes or [])
        load_weights(vae, path, self.path, vae.require_finite_weights)
        return vae.eval()

    @cached_property
    def refiners(self) -> dict[str, Refiner]:
        """The trained refiners by modality, in evaluation mode.

        Raises:
            RunError: if one is not trained yet, or its file is damaged.
        """
        loaded, parts = dict[str, Refiner](), self.configuration.refiners
        for name, folder in refiner_folders(self.path, self.configuration).items():
            path = inside(folder, REFINER)
            if not path.is_file():
                raise RunError(
                    f"{self.path} has no trained refiner of {name!r} yet; rerun the training, or do not refine"
                )
            loaded[name] = build_refiner(self.model, name, parts[name])
            check = partial(check_weights, {refiner_of(name): loaded[name]})
            load_weights(loaded[name], path, self.path, check)
        return loaded

    @cached_property
    def data(self) -> MultimodalDataset:
        """All samples: those passed on opening, or else read from the manifest."""
        if self._data is not None:
            return self._data
        if self.configuration.data.manifest is None:
            raise RunError(f"{self.path} was trained on data in memory; pass it with open_run(path, data=...)")
        return self._read(self.configuration)

    @checked
    def read(self, manifest: str | Path) -> MultimodalDataset:
        """Read other samples with the run's modalities and classes.

        Args:
            manifest: manifest with one column per modality of the run; cells and labels may be empty.

        Raises:
            DataError: naming manifest, line, sample, column and file of the fault.
        """
        settings = self.configuration.with_manifest(Path(manifest), self.model.classes)
        return self._read(settings.with_data(unreadable="refuse"))

    def _read(self, settings: Configuration) -> MultimodalDataset:
        """Read samples; a run, which may be a stranger's, chooses no place for a new cache."""
        cache = settings.data.cache
        if cache and not is_cache(cache):
            warnings.warn(
                f"the run {self.path} names the cache {cache}, which does not exist; samples are cached beside the "
                "manifest instead",
                MultimodalVAEWarning,
                stacklevel=3,
            )
            settings = settings.with_data(cache=None)
        return settings.read_data()

    @cached_property
    def splits(self) -> dict[str, MultimodalDataset]:
        """The samples of ``train``, ``validation`` and ``test``.

        Raises:
            RunError: if the data has changed since the training.
        """
        path = inside(self.path, "split.json")
        if not path.exists() and not self.environment["data"]:
            raise RunError(
                f"{self.path} was shared without its data, so nothing can be fitted or evaluated on them; read other "
                "samples with run.read(manifest)"
            )
        ids = read_json(path, _SplitIds)
        hashes = self.environment["data"]
        row_of = {name: row for row, name in enumerate(self.data.ids)}
        parts: dict[str, MultimodalDataset] = {}
        for split in SPLITS:
            missing = [name for name in ids[split] if name not in row_of]
            if missing:
                raise RunError(
                    f"the data of {self.path} has changed: the {split} sample {missing[0]!r} is missing; restore it"
                )
            parts[split] = self.data.subset(row_of[name] for name in ids[split])
            if ids[split] and hashes.get(split) != {"sha256": parts[split].fingerprint()}:
                raise RunError(
                    f"the data of {self.path} has changed: {split} samples differ; restore them, or train again"
                )
        return parts

    @property
    def origin(self) -> dict[str, str]:
        """What ``provenance.json`` says about the model: the run's path, or the hash of its weights if adapted."""
        if self.is_adapted:  # its path is that of its patients' data
            return {"run": f"sha256:{file_sha256(inside(self.path, 'model.safetensors'))}"}
        return {"run": str(self.path.resolve())}

    @cached_property
    def is_adapted(self) -> bool:
        """Whether ``mmvae adapt`` wrote the run: only its own densities have seen its patients.

        Raises:
            RunError: if its weights or densities have changed since.
        """
        path = inside(self.path, ADAPTED)
        if not path.exists():
            return False
        for name, before in read_json(path, AdaptationRecord)["sha256"].items():
            file = inside(self.path, *name.split("/"))
            if not file.is_file() or file_sha256(file) != before:
                raise RunError(f"{file} has changed since the guarantee in {path}; restore it, or adapt again")
        return True

    @checked
    def synthesizer(self, sampler: Any = None, fit_on: str | None = None, refine: bool = True) -> Synthesizer:
        """Return the model with one density per class, read from the run folder, or else fitted and saved there.

        Args:
            sampler: an instance, a name or a table. Default: the configuration's.
            fit_on: ``train``, ``validation`` or ``test``. Default: the configuration's.
            refine: whether it has the run's refiners, by which its samples are refined.

        Raises:
            RunError: if a density must be saved while another process writes the run; or if the run is adapted, and
                another private density would spend more of its patients' privacy.
        """
        own = self.configuration.density
        sampler = DensitySampler.of(own.sampler if sampler is None else sampler)
        register_instances(sampler)
        split = self._split(fit_on)
        suffix = "" if split == own.fit_on else f"-{split}"
        path = density_file(self.path, sampler.name, suffix)
        is_own = sampler.configuration == own.sampler.configuration and split == own.fit_on
        if self.is_adapted and sampler.guarantee and not is_own:
            raise RunError(
                f"{self.path} has a private density of its patients; another would spend more of their privacy: run "
                "mmvae adapt, which sums what they have spent"
            )
        refiners = self.refiners if refine else {}
        if path.exists():
            saved = Synthesizer.load(path, self.model, refiners)
            if (saved.sampler.configuration, saved.augmented) == (sampler.configuration, own.augmented):
                saved.end_to_end = self.is_adapted and is_own
                return saved
        with writing(self.path):
            make_folder(path.parent)
            synthesizer = Synthesizer(self.model, sampler, own.augmented, refiners).fit(self._samples(split))
            synthesizer.save(path)
        return synthesizer

    @checked
    def compare(self, sampler: Any, split: str | None = None, folds: int = 5) -> HeldOutLikelihood:
        """Return the cross-validated log likelihood of a sampler on the run's latents, by class.

        Args:
            sampler: an instance, a name or a table.
            split: split of the latents. Default: the one that the run's densities are fitted on.
            folds: number of folds, divided by patient.
        """
        split = self._split(split)
        data = self._samples(split)
        if split not in self._latents:  # usually several samplers are compared
            self._latents[split] = embed_versions(self.model, data, self.configuration.density.augmented)
        versions, part = self._latents[split], DensitySampler.of(sampler)
        labels, patients = data.labels.tolist() * len(versions), [*data.patients] * len(versions)
        return held_out_likelihood(part, versions.flatten(0, 1), labels, patients, data.classes, folds)

    @checked
    def push_to_hub(self, repo_id: str, *, private: bool = True, disclose: bool = False, metrics: bool = False) -> str:
        """Upload the run to the Hugging Face hub, for ``open_run("hf://OWNER/NAME")``.

        Weights, densities and refiners are uploaded, with the configuration and the versions of the parts. The model
        card is ``card.md``, as ``mmvae card`` writes it. Not uploaded are the manifest's path, names of samples and
        patients (``split.json``), hashes of the data, logs, checkpoints, judges and audits.

        Weights and densities of patients remain personal data. So a run is refused unless ``mmvae audit`` found no
        leak, and if its densities consist of the patients' latents, as those of ``kde`` do.

        Args:
            repo_id: ``"OWNER/NAME"``; the repository is created unless it exists.
            private: whether only its owner can see the repository.
            disclose: whether to upload a run that is refused otherwise, for patients whose data may be public.
            metrics: whether to upload ``metrics.json`` too, with numbers of patients per class and a hash of the data.

        Returns:
            The address of the commit.

        Raises:
            RunError: if the run is refused, unfinished or adapted; a private repository is asked for and there is a
                public one; or the hub cannot be reached or refuses the user.
            ConfigurationError: if the library of the extra ``hub`` is not installed, or ``repo_id`` is no such name.
        """
        if self.is_adapted:
            raise RunError(f"{self.path} is adapted, and only its samples may be handed on; use mmvae release")
        if self.status["state"] != "done":
            raise RunError(f"the training of {self.path} is {self.status['state']}; finish it first")
        path = density_file(self.path, self.configuration.density.sampler.name)
        densities = Synthesizer.load(path, self.model, self.refiners) if path.exists() else None
        if not disclose:
            require_shareable(self.path, self.configuration, densities)
        return upload(self.path, self.configuration, repo_id, private, metrics)

    def _split(self, name: str | None) -> str:
        split = name or self.configuration.density.fit_on
        if split not in SPLITS:
            raise RunError(f"there is no split {split!r} to fit densities on; give one of {', '.join(SPLITS)}")
        return split

    def _samples(self, split: str) -> MultimodalDataset:
        if not len(self.splits[split]):
            raise RunError(f"the run {self.path} has no {split} samples to fit densities on; choose another split")
        return self.splits[split]


@checked
def open_run(path: str | Path, data: MultimodalDataset | None = None, parts: Sequence[type[Part]] = ()) -> Run:
    """Open a run folder, or a run on the Hugging Face hub, which is downloaded.

    Args:
        path: the folder; or ``hf://OWNER/NAME``, with ``@REVISION`` for a branch, tag or commit, which needs the extra
            ``hub``.
        data: all samples, if the run was trained on data in memory.
        parts: classes of the run that are not installed, such as those of a notebook; they are registered for the
            session.

    Raises:
        RunError: if it is not a run folder, a file is damaged, a part has another ``behavior_version``, or the hub has
            no such run or cannot be reached.
        PluginError: if a part is neither installed nor among ``parts``.

    Warns:
        MultimodalVAEWarning: if a part has another version than in the training.
    """
    path = Path(path)
    return Run(download(path) if is_place(path) else path, data, parts)


@checked
def train_run(configuration: Configuration, out: str | Path, show: bool = True) -> Run:
    """Read the data, train or resume model and refiners, and fit the densities, as ``mmvae train`` does."""
    with locked(Path(out)):
        return _train_run(configuration, Path(out), show)


def _train_run(configuration: Configuration, out: Path, show: bool) -> Run:
    if not is_begun(out):
        require_new(out)  # before reading the data, which may take long
    data = configuration.read_data(progress=None if show else False)
    configuration = configuration.settled(data)
    training, validation, test = configuration.split(data)
    vae = configuration.build(data.classes, data.covariate_types)
    fit(vae, training, validation if len(validation) else None, test, out=out, configuration=configuration, show=show)
    run = open_run(out, data)
    if distributed.rank() == 0:
        try:
            run.synthesizer()
        except SamplerError as error:  # the training is still useful
            warnings.warn(
                f"the training is done, but no density could be fitted: {error}", MultimodalVAEWarning, stacklevel=2
            )
    return run
