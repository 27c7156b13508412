"""Results of a privacy audit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Literal

import pydantic

from multimodal_vae.evaluation.result import MetricResult

FILE = "privacy.json"
VERSION = 2
"""Version of ``privacy.json``; raised when a key changes its meaning or is removed."""

Rate = Annotated[float, pydantic.Field(ge=0, le=1)]
"""A share, from 0 to 1."""
MODEL = "model"
"""Name of the space of the model's own outputs."""

Who = Literal["train", "fitted on", "members"]
"""Patients that the model was trained on, that the densities were fitted on, or that were named otherwise."""
DESCRIPTION: dict[Who, str] = {
    "train": "the training set",
    "fitted on": "the set the densities were fitted on",
    "members": "the members",
}


@dataclass(frozen=True, kw_only=True)
class PrivacyResult(MetricResult):
    """One metric of an audit; ``real`` is its value if nothing is revealed.

    Attributes:
        who: patients whose privacy is concerned.
        space: space of the distances; ``model`` for outputs of the model itself.
    """

    who: Who
    space: str

    def exceeds(self, tries: int = 1, level: float = 0.95) -> bool:
        """Return whether the value is above ``real`` by more than chance among several tries.

        Intervals are widened as for a Gaussian, so that all of them hold together with probability ``level``
        (Bonferroni). Without an interval the answer is False.

        Args:
            tries: number of results considered together.
            level: level of the interval, and of all together.
        """
        if self.interval is None or self.real is None:
            return False
        one, all_ = (NormalDist().inv_cdf(1 - (1 - level) / 2 / count) for count in (1, tries))
        low = self.value - max(self.value - self.interval[0], 0.0) * all_ / one
        return low > self.real


@dataclass(frozen=True)
class Curve:
    """The ROC curve of an attack.

    Attributes:
        who: patients whose privacy is concerned.
        space: space of the attack.
        name: name of the attack, such as ``distance``.
        false_positive_rates: shares of other patients' records that are taken for members, ascending.
        true_positive_rates: shares of members that are recognized, as many.

    Raises:
        ValueError: if the numbers of rates differ, or there are none.
    """

    who: Who
    space: str
    name: str
    false_positive_rates: Sequence[Rate]
    true_positive_rates: Sequence[Rate]

    def __post_init__(self) -> None:
        numbers = len(self.false_positive_rates), len(self.true_positive_rates)
        if numbers[0] != numbers[1] or not numbers[0]:
            raise ValueError(f"a curve has {numbers[0]} false and {numbers[1]} true positive rates; give equally many")


@dataclass(frozen=True)
class Sizes:
    """Size of a set of records."""

    samples: int
    patients: int


@dataclass(frozen=True)
class Verdict:
    """An audit in words.

    Attributes:
        leak: whether anything is revealed that a generator without memory of its patients would not reveal.
        conclusions: what was found, one sentence each.
        limitations: what the metrics do not show, one sentence each.
        summary: what was found, how sure this is, and what to do, one sentence each. Empty for audits of earlier
            versions.
    """

    leak: bool
    conclusions: Sequence[str]
    limitations: Sequence[str]
    summary: Sequence[str] = ()


def select(results: Iterable[PrivacyResult], prefix: str, who: Who | None = None) -> list[PrivacyResult]:
    """Return the results whose metric begins with a prefix, of some patients or of all."""
    return [each for each in results if each.name.startswith(prefix) and who in (None, each.who)]


def highest(results: Sequence[PrivacyResult]) -> PrivacyResult:
    """Return the result with the highest value."""
    return max(results, key=lambda each: each.value)
