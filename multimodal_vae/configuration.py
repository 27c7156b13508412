"""The configuration of a run, as in a TOML file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from multimodal_vae.checks import checked
from multimodal_vae.data.covariates import Covariate
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.labels import Unlisted
from multimodal_vae.data.loading import Unreadable
from multimodal_vae.data.manifest import SplitName
from multimodal_vae.errors import ConfigurationError, MultimodalVAEError, did_you_mean
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.objective import Objective
from multimodal_vae.part import explain_settings, plain
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.scopes import Seed
from multimodal_vae.search_space import Space
from multimodal_vae.toml import TOMLError, read_toml
from multimodal_vae.training.settings import RefinementTraining, Training

Shares = tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat]
Splits = tuple[MultimodalDataset, MultimodalDataset, MultimodalDataset]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DataSettings(_Section):
    """``[data]``: the samples and their split.

    Attributes:
        manifest: path of the manifest, relative to the configuration file; None for data in memory.
        classes: names of the classes, in order. Default: the classes in the data, sorted.
        split: shares of training, validation and test patients; or ``"given"``, the manifest's column ``split``; or
            ``"passed"``, splits passed to :func:`~multimodal_vae.run.fit`, which are only in ``split.json``.
        seed: seed of the split.
        cache: folder of decoded samples, relative to the configuration file; false keeps samples in memory. Default:
            ``.mmvae_cache`` beside the manifest.
        workers: number of processes that read files. Default: one per core.
        unreadable: ``"refuse"`` unreadable files, or ``"skip"`` them.
        unlisted: ``"refuse"`` labels that are not among ``classes``, or ``"skip"`` them: such samples are unlabeled.
        join: CSV files beside the manifest, whose columns join its own by ``sample_id`` or, without one, by
            ``patient_id``.
        covariates: columns that the model takes beside the modalities, such as the site or the age: names, or tables
            with ``name``, ``kind`` (``"number"`` or ``"word"``) and ``values``. Default: none.
    """

    manifest: Path | None = None
    classes: list[str] | None = None
    split: Shares | Literal["given", "passed"] = (0.7, 0.1, 0.2)
    seed: Seed = 0
    cache: Path | Literal[False] | None = None
    workers: NonNegativeInt | None = None
    unreadable: Unreadable = "refuse"
    unlisted: Unlisted = "refuse"
    join: list[str] = []
    covariates: list[Covariate] | None = None

    @pydantic.field_validator("split", mode="before")
    @classmethod
    def _shares_or_given(cls, split: Any) -> Any:
        if isinstance(split, str) and split not in ("given", "passed"):
            raise ValueError("give the shares of training, validation and test, or 'given'")
        return split


class ModelSettings(_Section):
    """``[model]``: arguments of :class:`~multimodal_vae.model.MultimodalVAE` other than modalities and classes."""

    fusion: Fusion = Field(default="mvtcae", validate_default=True)
    metric_loss: MetricLoss = Field(default="triplet", validate_default=True)
    latent_dim: PositiveInt = 32
    objective: Objective = Objective()
    seed: Seed | None = 0


class DensitySettings(_Section):
    """``[density]``: the sampler of each class's density, the split it is fitted on, and how often it is augmented."""

    sampler: DensitySampler = Field(default="auto", validate_default=True)
    fit_on: SplitName = "train"
    augmented: Annotated[int, Field(ge=0)] = 0


class RefinementSettings(_Section):
    """``[refinement]``: the refiner of each modality that has one, and their training after the model's."""

    refiners: Annotated[dict[str, Refiner], Field(min_length=1)]
    training: RefinementTraining = RefinementTraining()


class Configuration(_Section):
    """The configuration of a run: the content of a TOML file, with all defaults filled in.

    Attributes:
        license: license of data and weights, for the model card; it does not affect the training.
        data: samples and their split.
        modalities: modalities by name.
        model: fusion, metric loss, latent and objective.
        training: settings of the training.
        density: sampler, and the split it is fitted on.
        refinement: refiners of decoded samples, by modality, and their training. Default: none.
        tune: choices or ranges of settings that ``mmvae tune`` searches; a training does not use them.
    """

    license: str | None = None
    data: DataSettings = DataSettings()
    modalities: Annotated[dict[str, Modality], Field(min_length=1)]
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: Training = Training()
    density: DensitySettings = Field(default_factory=DensitySettings)
    refinement: RefinementSettings | None = None
    tune: Space | None = None

    def __init__(self, **table: Any) -> None:
        try:
            super().__init__(**table)
        except pydantic.ValidationError as error:
            raise ConfigurationError(explain_settings(error, type(self))) from error
        for name in self.refiners:
            if name not in self.modalities:
                raise ConfigurationError(
                    f"[refinement.refiners] has {name!r}, which is no modality; {did_you_mean(name, self.modalities)}"
                )

    @property
    def refiners(self) -> dict[str, Refiner]:
        """The refiners by modality; none without ``[refinement]``."""
        return self.refinement.refiners if self.refinement else {}

    @classmethod
    @checked
    def read(cls, path: str | Path) -> Self:
        """Read a TOML file, and make its relative paths absolute.

        Raises:
            ConfigurationError: naming file, section and key.
        """
        path = Path(path)
        try:
            table = read_toml(path)
        except FileNotFoundError:
            raise ConfigurationError(f"there is no configuration {path}") from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
        except TOMLError as error:
            raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
        try:
            configuration = cls(**table)
        except MultimodalVAEError as error:
            raise type(error)(f"{path}: {error}") from error
        manifest, cache = configuration.data.manifest, configuration.data.cache
        if manifest:
            configuration = configuration.with_data(manifest=(path.parent.resolve() / manifest).resolve())
        if cache:
            found = Path(os.path.normpath(path.parent.resolve() / cache))
            if not cache.is_absolute() and found.parent != found.parent.resolve():
                raise ConfigurationError(f"{path}: [data] cache {cache} leads through a link; give the folder itself")
            configuration = configuration.with_data(cache=found)
        return configuration

    def with_data(self, **changes: Any) -> Self:
        """Return a copy with other data settings."""
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def with_manifest(self, manifest: Path, classes: list[str]) -> Self:
        """Return a copy that reads another manifest, with those files to join that lie beside it as well."""
        path = manifest.resolve()
        join = [name for name in self.data.join if (path.parent / name).exists()]
        return self.with_data(manifest=path, classes=classes, join=join)

    def settled(self, data: MultimodalDataset) -> Self:
        """Return a copy with the modalities of the data that were read, whose columns are known."""
        return self.model_copy(update={"modalities": data.modalities})

    def with_training(self, **changes: Any) -> Self:
        """Return a copy with other training settings."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

    def with_seed(self, seed: int) -> Self:
        """Return a copy with one seed for the model, its training and that of its refiners."""
        changes: dict[str, Any] = {"seed": seed}
        update: dict[str, Any] = {"model": self.model.model_copy(update=changes)}
        if self.refinement:
            training = self.refinement.training.model_copy(update=changes)
            update["refinement"] = self.refinement.model_copy(update={"training": training})
        return self.with_training(**changes).model_copy(update=update)

    def resolved(self, classes: int, samples: int, validated: bool) -> Self:
        """Return a copy with training settings as the data and this machine determine them; see ``Training``."""
        update: dict[str, Any] = {"training": self.training.resolved(classes, samples, validated).on_this_machine()}
        if self.refinement:
            training = self.refinement.training.resolved(classes, samples, validated).on_this_machine()
            update["refinement"] = self.refinement.model_copy(update={"training": training})
        return self.model_copy(update=update)

    def to_toml(self) -> str:
        """Return the configuration as TOML, with defaults; settings that are None are omitted."""
        return tomli_w.dumps(plain(dict(self)))

    def read_data(self, progress: bool | None = None) -> MultimodalDataset:
        """Read the manifest and its samples."""
        data = self.data
        if data.manifest is None:
            raise ConfigurationError("[data] has no manifest; set [data] manifest, or pass the data")
        return MultimodalDataset.from_manifest(
            data.manifest,
            self.modalities,
            data.classes,
            progress,
            cache=data.cache,
            workers=data.workers,
            unreadable=data.unreadable,
            join=data.join,
            covariates=data.covariates or (),
            unlisted=data.unlisted,
        )

    def split(self, data: MultimodalDataset) -> Splits:
        """Split data into training, validation and test samples."""
        if self.data.split == "passed":
            raise ConfigurationError(
                "[data] split is 'passed', so its splits are only in split.json; set shares instead"
            )
        if self.data.split == "given":
            return data.split_as_given()
        return data.split(*self.data.split, seed=self.data.seed)

    def build(self, classes: list[str], covariates: Sequence[Covariate] | None = None) -> MultimodalVAE:
        """Build the model, with initial weights.

        Args:
            classes: names of the classes.
            covariates: typed covariates, as a data set has them. Default: those of ``[data]``.
        """
        model = self.model
        return MultimodalVAE(
            self.modalities,
            classes,
            model.fusion,
            model.metric_loss,
            model.latent_dim,
            model.objective,
            model.seed,
            (self.data.covariates or ()) if covariates is None else covariates,
        )
