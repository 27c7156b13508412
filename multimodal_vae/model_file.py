"""A model as one file: its weights, its settings, and the code of its parts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, Self, TypeVar

import pydantic
from torch import Tensor, nn
from typing_extensions import TypedDict

from multimodal_vae.errors import ConfigurationError, PluginError, RunError, TrainingError
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.part import Part, explain
from multimodal_vae.provenance import PartRecord, records, register_classes, require
from multimodal_vae.scopes import seeded

Model = TypeVar("Model", bound=nn.Module)


class _Settings(TypedDict):
    """Arguments of the model's constructor but its seed, as in its ``configuration``."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")  # type: ignore[misc]
    modalities: dict[str, Any]
    classes: list[str]
    fusion: dict[str, Any]
    metric_loss: dict[str, Any]
    latent_dim: int
    objective: dict[str, Any]
    covariates: NotRequired[list[Any]]


class _Description(TypedDict):
    """What the file says beside the weights."""

    configuration: _Settings
    seed: int | None
    parts: list[PartRecord]


_DESCRIPTION = pydantic.TypeAdapter(_Description)


class ModelFile(NamedTuple):
    """Content of a model's file.

    Attributes:
        weights: weights and statistics of the model by name.
        configuration: arguments of the model's constructor, without its seed.
        seed: seed of the initial weights; None if there was none.
    """

    weights: Mapping[str, Tensor]
    configuration: Mapping[str, Any]
    seed: int | None

    def write(self, path: Path, parts: Sequence[Part]) -> None:
        """Write a safetensors file, whose header has the settings and the record of the model's parts.

        Raises:
            RunError: if the file cannot be written.
        """
        described = {"configuration": self.configuration, "seed": self.seed, "parts": records(parts)}
        write_tensors(path, self.weights, {"format": "multimodal_vae model", "model": json.dumps(described)})

    @classmethod
    def read(cls, path: Path, parts: Sequence[type[Part]] = ()) -> Self:
        """Read a file, and require the parts that it records.

        Args:
            path: the file.
            parts: classes of the model's parts that are not installed; they are registered for the session.

        Raises:
            RunError: if the file is damaged or holds no model, or a part has another ``behavior_version``.
            PluginError: if a part is neither installed nor among ``parts``.
        """
        weights, metadata = read_tensors(path)
        try:
            described = _DESCRIPTION.validate_json(metadata.get("model", ""))
        except pydantic.ValidationError as error:
            fault = explain(error) if "model" in metadata else "its header has no settings"
            raise RunError(f"{path} holds no model: {fault}; give a file that MultimodalVAE.save wrote") from error
        where = f"the model in {path}"
        register_classes(parts, described["parts"], where)
        require(described["parts"], where, "MultimodalVAE.load")
        dimensions, stored = described["configuration"]["latent_dim"], sum(x.numel() for x in weights.values())
        if dimensions > stored:  # refused before memory is taken for it
            raise RunError(f"{path} has {stored} weights, too few for latent_dim = {dimensions}; restore it")
        return cls(weights, described["configuration"], described["seed"])

    def build(self, model: Callable[..., Model], path: Path) -> Model:
        """Build the model, with initial weights, which are to be replaced; an error names the file."""
        try:
            with seeded(0):  # leaves torch's random state as it is
                return model(**self.configuration)
        except (ConfigurationError, PluginError) as error:
            raise type(error)(f"{path}: {error}") from error


def put_weights(
    weights: Mapping[str, Tensor], module: nn.Module, path: Path, settings: str, check: Callable[[], None]
) -> None:
    """Put the weights of a file into a module.

    Args:
        weights: by name.
        module: what they belong to.
        path: the file, for messages.
        settings: where the module's settings come from, for messages.
        check: raises TrainingError if the weights are not finite.

    Raises:
        RunError: if the weights belong to something else, or are not finite.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{path} does not match {settings}: {str(error).splitlines()[-1]}") from error
    try:
        check()
    except TrainingError as error:
        raise RunError(f"{path}: {error}") from error
