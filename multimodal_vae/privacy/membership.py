"""Membership inference: whether an attacker recognizes the records that a model learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import Interval, interval


@dataclass(frozen=True)
class Attack:
    """Scores of an attack, higher for records that the attacker takes for members.

    Args:
        members: (N,), scores of training records.
        others: (M,), scores of records of other patients.
        groups: (N + M,), patient of each record, members first; None: each record is its own group.

    Raises:
        DataError: if a set is empty or a score is NaN.

    Example:
        >>> attack = Attack(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
        >>> attack.auc(), attack.true_positive_rate(0.01)
        (0.875, 0.5)
    """

    members: Tensor
    others: Tensor
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not len(self.members) or not len(self.others):
            raise DataError(f"an attack needs members and others; there are {len(self.members)} and {len(self.others)}")
        if bool(torch.isnan(self.members).any() | torch.isnan(self.others).any()):
            raise DataError("a score of the attack is not a number")

    def auc(self, rows: Tensor | None = None) -> float:
        """Return the area under the ROC curve: how often a member scores higher than another record, ties half.

        One half is chance. NaN if ``rows`` (into members, then others) holds only one kind.

        Source: Hanley and McNeil, *The meaning and use of the area under a ROC curve* (1982).
        """
        members, others = self._chosen(rows)
        if not len(members) or not len(others):
            return float("nan")
        others = others.sort().values
        below = sum(torch.searchsorted(others, members, right=right).double() for right in (False, True))
        return float(torch.as_tensor(below).mean() / (2 * len(others)))

    def true_positive_rate(self, false_positive_rate: float = 0.01, rows: Tensor | None = None) -> float:
        """Return the share of members recognized at a false positive rate.

        Unlike an average, it shows that a few patients are recognized with certainty. Chance is the false positive
        rate itself, or about one over the number of others if that is larger.

        Source: Carlini et al., *Membership inference attacks from first principles* (2022), section IV.
        """
        members, others = self._chosen(rows)
        if not len(members) or not len(others):
            return float("nan")
        allowed = int(false_positive_rate * len(others) + 1e-9)
        if allowed >= len(others):
            return 1.0
        return float((members > others.sort(descending=True).values[allowed]).double().mean())

    def auc_interval(self, resamples: int = 500, seed: int = 0) -> Interval:
        """Return the confidence interval of the area by the bootstrap over patients."""
        return interval(self.auc, self._count, self.groups, resamples, seed=seed)

    def true_positive_interval(
        self, false_positive_rate: float = 0.01, resamples: int = 500, seed: int = 0
    ) -> Interval:
        """Return the confidence interval of the true positive rate by the bootstrap over patients."""
        statistic = partial(self.true_positive_rate, false_positive_rate)
        return interval(statistic, self._count, self.groups, resamples, seed=seed)

    @property
    def _count(self) -> int:
        return len(self.members) + len(self.others)

    def _chosen(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        if rows is None:
            return self.members, self.others
        first = rows[rows < len(self.members)]
        return self.members[first], self.others[rows[rows >= len(self.members)] - len(self.members)]
