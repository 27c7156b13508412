"""Membership inference: whether a patient can be told to be one of those that were learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import Interval, interval


@dataclass(frozen=True)
class Attack:
    """Scores of records, higher where the attacker takes a record for a member.

    Args:
        members: (N,), scores of records that were learned from.
        others: (M,), of records of other patients.
        groups: (N + M,), whose each is, members first; each its own where it is None.

    Raises:
        DataError: if either has no records, or a score is not a number.

    Example:
        >>> attack = Attack(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
        >>> attack.auc(), attack.true_positives(0.01)
        (0.875, 0.5)
    """

    members: Tensor
    others: Tensor
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not len(self.members) or not len(self.others):
            raise DataError("an attack is measured on members and on others; there are none of one of them")
        if bool(torch.isnan(self.members).any() | torch.isnan(self.others).any()):
            raise DataError("an attack has a score that is not a number")

    def auc(self, rows: Tensor | None = None) -> float:
        """Area under the receiver's curve: how often a member scores higher than another, ties counted half.

        One half is chance. NaN where ``rows`` (into members, then others) has none of one kind.

        Source: Hanley and McNeil, *The meaning and use of the area under a ROC curve* (1982).
        """
        members, others = self._chosen(rows)
        if not len(members) or not len(others):
            return float("nan")
        others = others.sort().values
        below = sum(torch.searchsorted(others, members, right=right).double() for right in (False, True))
        return float(torch.as_tensor(below).mean() / (2 * len(others)))

    def true_positives(self, rate: float = 0.01, rows: Tensor | None = None) -> float:
        """The share of members found by the threshold that takes at most such a share of others for members.

        An average hides it when a few patients are recognized for certain; this does not. Chance is the rate itself,
        or about one in the number of others where that is below 1 / rate.

        Source: Carlini et al., *Membership inference attacks from first principles* (2022), section IV.
        """
        members, others = self._chosen(rows)
        if not len(members) or not len(others):
            return float("nan")
        allowed = int(rate * len(others) + 1e-9)
        if allowed >= len(others):
            return 1.0
        return float((members > others.sort(descending=True).values[allowed]).double().mean())

    def auc_interval(self, resamples: int = 500, seed: int = 0) -> Interval:
        """Where the area may lie had other patients been met, by the bootstrap over patients."""
        return interval(self.auc, self._count, self.groups, resamples, seed=seed)

    def true_positives_interval(self, rate: float = 0.01, resamples: int = 500, seed: int = 0) -> Interval:
        """The same of the share of members found."""
        return interval(partial(self.true_positives, rate), self._count, self.groups, resamples, seed=seed)

    @property
    def _count(self) -> int:
        return len(self.members) + len(self.others)

    def _chosen(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        if rows is None:
            return self.members, self.others
        first = rows[rows < len(self.members)]
        return self.members[first], self.others[rows[rows >= len(self.members)] - len(self.members)]
