"""A figure of an audit, with whom and what it is about."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

from multimodal_vae.evaluation.result import MetricResult

Who = Literal["train", "fitted on"]
"""Those that the model was trained on, or those that the densities were fitted on."""


@dataclass(frozen=True)
class PrivacyResult:
    """One measured value.

    Attributes:
        who: whose privacy it is about.
        space: where distances were taken; ``model`` where the model itself was asked.
        figure: the value; its ``real`` is what a generator reaches that gives nothing away.
    """

    who: Who
    space: str
    figure: MetricResult

    @property
    def measure(self) -> str:
        """What was measured."""
        return self.figure.name

    def exceeds(self, tries: int = 1, level: float = 0.95) -> bool:
        """Whether the value is above what gives nothing away, by more than chance among so many tries explains.

        One interval in twenty misses; of ``tries`` intervals, each is widened as a Gaussian's would be, so that all
        hold together with the probability ``level`` (Bonferroni). Without an interval, nothing is.

        Args:
            tries: how many findings are looked at together.
            level: of the interval, and of all together.
        """
        figure = self.figure
        if figure.interval is None or figure.real is None:
            return False
        one, all_ = (NormalDist().inv_cdf(1 - (1 - level) / 2 / count) for count in (1, tries))
        low = figure.value - max(figure.value - figure.interval[0], 0.0) * all_ / one
        return low > figure.real

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {"who": self.who, "space": self.space, **self.figure.to_dict()}


@dataclass(frozen=True)
class Sizes:
    """How many there are of what is audited."""

    samples: int
    patients: int

    def to_dict(self) -> dict[str, int]:
        """As JSON has it."""
        return asdict(self)


def of_measure(findings: Iterable[PrivacyResult], prefix: str, who: Who | None = None) -> list[PrivacyResult]:
    """Those whose measure begins so, about these people."""
    return [each for each in findings if each.measure.startswith(prefix) and who in (None, each.who)]


def highest(findings: Sequence[PrivacyResult]) -> PrivacyResult:
    """The one with the highest value."""
    return max(findings, key=lambda each: each.figure.value)
