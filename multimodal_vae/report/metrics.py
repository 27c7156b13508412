"""``metrics.json``: what an evaluation found, and all that it hangs on. docs/reference/metrics.md says it in words."""

from pathlib import Path
from typing import Any, Literal

import pydantic
from typing_extensions import TypedDict

from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.result import Aim, MetricResult
from multimodal_vae.files import read_json

VERSION = 2
"""Of the form below; raised when a reader of the old one would misread the new one."""
FILE = "metrics.json"


class MetricRecord(TypedDict):
    """A :class:`~multimodal_vae.evaluation.result.MetricResult`; what is not finite is None."""

    name: str
    value: float | None
    aim: Aim
    interval: tuple[float | None, float | None] | None
    real: float | None
    baseline: float | None
    seeds: int
    spread: float | None
    beside: dict[str, float | None]


class RunRecord(TypedDict):
    """The run that was evaluated; ``configuration`` is without places of this machine."""

    name: str
    state: str
    epochs_done: int
    epochs: int
    weights_sha256: str
    trained_on: str
    distributions: dict[str, str]
    parts: list[dict[str, Any]]
    configuration: dict[str, Any]


class SplitRecord(TypedDict):
    """One side of the data."""

    samples: int
    patients: int
    classes: dict[str, int]
    sha256: str


class EvaluatedRecord(TypedDict):
    """What was measured, on what; ``left_out`` counts rows by why they were not."""

    split: Literal["validation", "test"]
    samples: int
    patients: int
    classes: list[str]
    left_out: dict[str, int]
    generated: int
    sampler: str
    fitted_on: str
    seed: int
    resamples: int
    judges_sha256: list[str]
    with_version: str


class SubgroupRecord(TypedDict):
    """The figures of some of the held-out samples; ``reason`` says why there are none."""

    column: str
    value: str
    samples: int
    patients: int
    figures: list[MetricRecord]
    reason: str | None


class Metrics(TypedDict):
    """The whole file."""

    version: int
    date: str
    run: RunRecord
    data: dict[str, SplitRecord]
    evaluated: EvaluatedRecord
    figures: list[MetricRecord]
    subgroups: list[SubgroupRecord]


class _Versioned(TypedDict):
    version: int


def read_metrics(path: Path) -> Metrics:
    """Read a ``metrics.json`` of this version.

    Raises:
        RunError: if it is missing, damaged, or of another version.
    """
    if not path.is_file():
        raise RunError(f"{path.parent} has no {path.name}; write it with: mmvae evaluate {path.parent}")
    version = read_json(path, _Versioned)["version"]
    if version != VERSION:
        raise RunError(f"{path} is of version {version}, and this is {VERSION}; write it anew with mmvae evaluate")
    return read_json(path, Metrics)


def metric_record(figure: MetricResult) -> MetricRecord:
    """A figure as the file has it.

    Example:
        >>> metric_record(MetricResult("purity", float("nan")))["value"] is None
        True
    """
    return pydantic.TypeAdapter(MetricRecord).validate_python(figure.to_dict())
