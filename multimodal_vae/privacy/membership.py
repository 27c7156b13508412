"""Membership inference: whether an attacker recognizes the records that a model learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.metrics import roc_curve
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import Interval, interval

_POINTS = 100  # of a curve


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

    def curve(self) -> tuple[list[float], list[float]]:
        """Return false and true positive rates of the ROC curve, from (0, ...) to (1, 1), at most 102 points.

        Of a longer curve the points are those at false positive rates that are evenly spaced on a logarithmic scale,
        with 0 and 1 %: at small ones, an attack recognizes few patients with certainty. The true positive rate of a
        point is the largest at its false positive rate.
        """
        scores = torch.cat([self.members, self.others])
        member = np.arange(len(scores)) < len(self.members)
        ranks = torch.unique(scores, return_inverse=True)[1].numpy()  # a score may be infinite
        false, true, _ = roc_curve(member, ranks, drop_intermediate=False)
        rates = np.concatenate([[0.0, 0.01], np.geomspace(1 / len(self.others), 1.0, _POINTS)])
        rows = np.unique(np.searchsorted(false, rates + 1e-9, side="right") - 1)
        return false[rows].tolist(), true[rows].tolist()

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
