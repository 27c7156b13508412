"""The content of a report: ``metrics.json``, ``privacy.json``, and the samples behind them.

docs/reference/metrics.md describes the keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypeVar

import pydantic
from torch import Tensor
from typing_extensions import TypedDict

from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import inside, read_json
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.modalities.base import Noise
from multimodal_vae.privacy import result as privacy
from multimodal_vae.provenance import PartRecord
from multimodal_vae.samplers.base import Ranked

VERSION = 2
"""Version of ``metrics.json``; raised when a reader of the old version would misread the new one."""
FILE = "metrics.json"


_with_other_keys = pydantic.with_config(pydantic.ConfigDict(extra="allow"))


@_with_other_keys
class PartTable(TypedDict):
    """A part in a configuration."""

    name: str


@_with_other_keys
class ModelTable(TypedDict):
    """The section ``model`` of a configuration."""

    latent_dim: int
    fusion: PartTable
    metric_loss: PartTable


@_with_other_keys
class ConfigurationTable(TypedDict):
    """The keys of a configuration that a card shows."""

    license: NotRequired[str]
    modalities: dict[str, PartTable]
    model: ModelTable


class RunRecord(TypedDict):
    """The evaluated run; ``configuration`` holds no paths of this machine."""

    name: str
    state: str
    epochs_done: int
    epochs: int
    weights_sha256: str
    trained_on: str
    distributions: dict[str, str]
    parts: list[PartRecord]
    configuration: ConfigurationTable


class SplitRecord(TypedDict):
    """One split of the data."""

    samples: int
    patients: int
    classes: dict[str, int]
    sha256: str


class EvaluatedRecord(TypedDict):
    """Samples and settings of the evaluation.

    ``left_out`` counts samples by the reason of their exclusion; ``ranking`` holds the samplers from which that of the
    densities was chosen, best first, if it was; ``guarantee`` is their differential privacy, if any.
    """

    split: Literal["validation", "test"]
    samples: int
    patients: int
    classes: list[str]
    left_out: dict[str, int]
    generated: int
    sampler: str
    ranking: NotRequired[list[Ranked]]
    guarantee: NotRequired[Guarantee | None]
    noise: NotRequired[dict[str, Noise | Literal["refined"]]]
    fitted_on: str
    seed: int
    resamples: int
    judges_sha256: list[str]
    with_version: str


class SubgroupRecord(TypedDict):
    """Results for a subgroup of the held-out samples; ``reason`` says why there are none."""

    column: str
    value: str
    samples: int
    patients: int
    results: list[MetricResult]
    reason: str | None


class Metrics(TypedDict):
    """The whole ``metrics.json``."""

    version: int
    date: str
    run: RunRecord
    data: dict[str, SplitRecord]
    evaluated: EvaluatedRecord
    results: list[MetricResult]
    subgroups: list[SubgroupRecord]


class Privacy(TypedDict):
    """The part of ``privacy.json`` that a report shows; other keys are ignored."""

    results: list[privacy.PrivacyResult]
    verdict: privacy.Verdict
    curves: NotRequired[list[privacy.Curve]]


@dataclass(frozen=True)
class Evidence:
    """The samples behind the metrics, for pictures; all are complete.

    Attributes:
        classes: names of the classes; labels are indices into them.
        held_out: real samples.
        reconstructions: their reconstructions, (N, *shape) per modality.
        embeddings: their embeddings, (N, latent_dim).
        judged: class of each reconstruction by the joint judge, (N,).
        generated: generated samples.
        groups: subgroup of each held-out sample, (N,) per column.
    """

    classes: Sequence[str]
    held_out: LabeledSamples
    reconstructions: Mapping[str, Tensor]
    embeddings: Tensor
    judged: Tensor
    generated: LabeledSamples
    groups: Mapping[str, Sequence[str]]


class _Versioned(TypedDict):
    version: int


T = TypeVar("T")


def read_metrics(folder: Path) -> Metrics:
    """Read the ``metrics.json`` of a run's folder.

    Raises:
        RunError: if it is missing, damaged or of another version.
    """
    path = inside(folder, FILE)
    if not path.exists():
        raise RunError(f"{folder} has no {FILE}; write it with: mmvae evaluate {folder}")
    return _read(path, Metrics, VERSION, "evaluate")


def read_privacy(folder: Path) -> Privacy | None:
    """Read the ``privacy.json`` of a run's folder, or return None if there is none.

    Raises:
        RunError: if it is damaged or of another version.
    """
    path = inside(folder, privacy.FILE)
    return _read(path, Privacy, privacy.VERSION, "audit") if path.exists() else None


def _read(path: Path, schema: type[T], version: int, command: str) -> T:
    found = read_json(path, _Versioned)["version"]
    if found != version:
        raise RunError(
            f"{path} has version {found}, but this package reads {version}; rewrite it with: mmvae {command} "
            f"{path.parent}"
        )
    return read_json(path, schema)
