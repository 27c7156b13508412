"""All that a run is made of, as a TOML file says it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.loading import Unreadable
from multimodal_vae.data.manifest import SplitName
from multimodal_vae.errors import ConfigurationError, MultimodalVAEError
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.objective import Objective
from multimodal_vae.part import explain_settings, plain
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.training.settings import Training

Shares = tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat]
Splits = tuple[MultimodalDataset, MultimodalDataset, MultimodalDataset]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DataSettings(_Section):
    """``[data]``: where samples come from, and which are trained on.

    Attributes:
        manifest: path of the manifest, relative to the configuration file; None for data that was in memory.
        classes: the classes in their order; those found, sorted, where it is None.
        split: shares of training, validation and test, by patient; ``"given"``, the manifest's own
            column; or ``"passed"``, where the parts were made before they came, and stand in ``split.json`` alone.
        seed: of the split.
        cache: a folder in which what was read is kept, relative to the configuration file; ``.mmvae_cache`` beside the
            manifest where it is None; with false all is read into memory.
        workers: processes that read; as many as there are cores where it is None.
        unreadable: ``"refuse"``, or ``"skip"`` to go on without what cannot be read.
    """

    manifest: Path | None = None
    classes: list[str] | None = None
    split: Shares | Literal["given", "passed"] = (0.7, 0.1, 0.2)
    seed: NonNegativeInt = 0
    cache: Path | Literal[False] | None = None
    workers: NonNegativeInt | None = None
    unreadable: Unreadable = "refuse"

    @pydantic.field_validator("split", mode="before")
    @classmethod
    def _shares_or_given(cls, split: Any) -> Any:
        if isinstance(split, str) and split not in ("given", "passed"):
            raise ValueError("it is the shares of training, validation and test, or 'given'")
        return split


class ModelSettings(_Section):
    """``[model]``: what :class:`~multimodal_vae.model.MultimodalVAE` takes beside modalities and classes."""

    fusion: Fusion = Field(default="concat", validate_default=True)
    metric_loss: MetricLoss = Field(default="triplet", validate_default=True)
    latent_dim: PositiveInt = 128
    objective: Objective = Objective()
    seed: NonNegativeInt | None = 0


class DensitySettings(_Section):
    """``[density]``: which sampler learns each class's density, from which samples."""

    sampler: DensitySampler = Field(default="kde", validate_default=True)
    fit_on: SplitName = "train"


class Configuration(_Section):
    """All that a run is made of; what stands in a TOML file, with every default filled in.

    Attributes:
        license: under which data and weights may be used, for the model card; it changes nothing in the training.
    """

    license: str | None = None
    data: DataSettings = DataSettings()
    modalities: Annotated[dict[str, Modality], Field(min_length=1)]
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: Training = Training()
    density: DensitySettings = Field(default_factory=DensitySettings)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a TOML file; its relative paths are made absolute.

        Raises:
            ConfigurationError: naming file, section and key.
        """
        path = Path(path)
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(f"there is no configuration {path}") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
        try:
            configuration = cls(**table)
        except pydantic.ValidationError as error:
            raise ConfigurationError(f"{path}: {explain_settings(error, cls)}") from error
        except MultimodalVAEError as error:
            raise type(error)(f"{path}: {error}") from error
        for key in ("manifest", "cache"):
            place = getattr(configuration.data, key)
            if place:
                configuration = configuration.with_data(**{key: (path.parent.resolve() / place).resolve()})
        return configuration

    def with_data(self, **changes: Any) -> Self:
        """The same with other data settings."""
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def with_training(self, **changes: Any) -> Self:
        """The same with other settings of the training."""
        return self.model_copy(update={"training": self.training.model_copy(update=changes)})

    def to_toml(self) -> str:
        """Write it down, defaults included; keys that are None are left out."""
        return tomli_w.dumps(plain(dict(self)))

    def read_data(self, progress: bool | None = None) -> MultimodalDataset:
        """Read the manifest and its files."""
        data = self.data
        if data.manifest is None:
            raise ConfigurationError("[data] names no manifest, so the data has to be passed")
        return MultimodalDataset.from_manifest(
            data.manifest,
            self.modalities,
            data.classes,
            progress,
            cache=data.cache,
            workers=data.workers,
            unreadable=data.unreadable,
        )

    def split(self, data: MultimodalDataset) -> Splits:
        """Split as the settings say."""
        if self.data.split == "passed":
            raise ConfigurationError("[data] split is 'passed': it was made by hand, and cannot be made anew from here")
        if self.data.split == "given":
            return data.split_as_given()
        return data.split(*self.data.split, seed=self.data.seed)

    def build(self, classes: list[str]) -> MultimodalVAE:
        """Make the model."""
        model = self.model
        return MultimodalVAE(
            self.modalities, classes, model.fusion, model.metric_loss, model.latent_dim, model.objective, model.seed
        )
