"""Coherence: whether the modalities of a sample show the same class and, within it, the same individual."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers


def agreement(first: Tensor, second: Tensor, target: Tensor | None = None) -> float:
    """Return the share of samples whose two modalities are assigned to one class, the target class if given.

    Args:
        first: (N,), labels by a judge of one modality.
        second: (N,), labels of the same samples by a judge of another modality.
        target: (N,), labels that both should give; None: any.

    Example:
        >>> agreement(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        0.6666666666666666
    """
    same = first == second
    if target is not None:
        same &= first == target
    return float(same.double().mean())


def shuffled_within(labels: Tensor, seed: int) -> Tensor:
    """Return a random order of rows, (N,), that moves each row within its class.

    Pairs with such an order share only the class. No row keeps its place unless it is the only one of its class.
    """
    rng = np.random.default_rng(require_seed(seed, LARGEST_DERIVED_SEED))
    order = torch.arange(len(labels))
    for label in torch.unique(labels):
        rows = torch.nonzero(labels == label).flatten()
        rows = rows[torch.from_numpy(rng.permutation(len(rows)))]
        order[rows] = rows.roll(1)
    return order


@dataclass(frozen=True)
class CanonicalDirections:
    """Directions of two sets of features along which they correlate most.

    Attributes:
        first: (P, C), directions of the first set, after centering.
        second: (Q, C), directions of the second set, after centering.
        means: (P,) and (Q,), means of the two sets.
    """

    first: Tensor
    second: Tensor
    means: tuple[Tensor, Tensor]

    def correlations(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the correlation along each pair of directions, (C,); -1 to 1, zero for constant scores."""
        a = (x.double() - self.means[0]) @ self.first
        b = (y.double() - self.means[1]) @ self.second
        return _correlation(a, b)


def canonical_directions(x: Tensor, y: Tensor, components: int = 1, ridge: float = 0.5) -> CanonicalDirections:
    """Fit a regularized canonical correlation analysis.

    Args:
        x: (N, P), features of one modality.
        y: (N, Q), features of the other modality of the same samples.
        components: number of pairs of directions; limited by P and Q.
        ridge: ridge of each covariance, as a fraction of its mean variance; without it, few samples fit perfectly.

    Source: Hotelling, *Relations between two sets of variates* (1936); the ridge: Vinod, *Canonical ridge and
        econometrics of joint production* (1976).
    """
    x, y = x.double(), y.double()
    means = x.mean(0), y.mean(0)
    x, y = x - means[0], y - means[1]
    left, right = _inverse_root(x, ridge), _inverse_root(y, ridge)
    u, _, vh = torch.linalg.svd(left @ (x.T @ y / len(x)) @ right, full_matrices=False)
    return CanonicalDirections(left @ u[:, :components], right @ vh[:components].T, means)


@dataclass(frozen=True)
class Coherence:
    """Correlation of two modalities within classes, and that of shuffled pairs.

    Attributes:
        value: mean held-out correlation along the canonical directions, by class.
        shuffled: the same after shuffling pairs within the class, by class.
    """

    value: dict[int, float]
    shuffled: dict[int, float]

    def means(self) -> tuple[float, float]:
        """Return the averages of ``value`` and ``shuffled`` over classes."""
        value, shuffled = (sum(each.values()) / len(each) for each in (self.value, self.shuffled))
        return value, shuffled


def within_class_coherence(
    x: Tensor,
    y: Tensor,
    labels: Tensor,
    groups: Sequence[str] | None = None,
    components: int = 1,
    ridge: float = 0.5,
    repeats: int = 10,
    seed: int = 0,
) -> Coherence:
    """Compute canonical correlations within each class, fitted on half of its groups and measured on the other half.

    Modalities drawn independently within the class have none, however good each one is. The metric notices only
    linear relations, mainly of features with large variance. Use features of a judge of one modality: the principal
    components of pixels are lighting and position, which other modalities do not share.

    Args:
        x: (N, P), features of one modality; P well below the number of samples per class.
        y: (N, Q), features of the other modality.
        labels: (N,).
        groups: (N,), patient of each sample; a group is never in both halves.
        components: number of pairs of directions to average.
        ridge: as for :func:`canonical_directions`.
        repeats: number of random halvings to average, each used both ways.
        seed: seed of the halvings and of the shuffling.

    Raises:
        DataError: if a class has fewer than four groups.

    Example:
        >>> common, labels = torch.randn(200, 1), torch.arange(200) % 2
        >>> x, y = common + 0.1 * torch.randn(200, 3), common + 0.1 * torch.randn(200, 2)
        >>> value, shuffled = within_class_coherence(x, y, labels, components=1).means()
        >>> value > 0.9, abs(shuffled) < 0.3
        (True, True)
    """
    rng = np.random.default_rng(require_seed(seed, LARGEST_DERIVED_SEED))
    numbers = torch.from_numpy(group_numbers(groups, len(labels)))
    value, shuffled = {}, {}
    for label in torch.unique(labels).tolist():
        rows = torch.nonzero(labels == label).flatten()
        members = torch.unique(numbers[rows])
        if len(members) < 4:
            raise DataError(f"class {label} has {len(members)} groups; coherence needs at least four")
        paired: list[float] = []
        unpaired: list[float] = []
        for repeat in range(repeats):
            other = y[shuffled_within(labels, seed + repeat)]
            half = members[torch.from_numpy(rng.permutation(len(members))[: len(members) // 2])]
            chosen = torch.isin(numbers[rows], half)
            for fit, held in ((rows[chosen], rows[~chosen]), (rows[~chosen], rows[chosen])):
                for target, results in ((y, paired), (other, unpaired)):
                    directions = canonical_directions(x[fit], target[fit], components, ridge)
                    results.append(float(directions.correlations(x[held], target[held]).mean()))
        value[int(label)] = sum(paired) / len(paired)
        shuffled[int(label)] = sum(unpaired) / len(unpaired)
    return Coherence(value, shuffled)


def within_class_correlation(first: Tensor, second: Tensor, labels: Tensor) -> float:
    """Return the correlation of two estimates of one cause after subtracting class means, from -1 to 1.

    It shows whether two modalities agree about a known cause, such as fluid, pressure or rate. Estimates shrink
    toward the class mean if a modality hardly shows the cause; compare with the value of real pairs.

    Args:
        first: (N,), estimates from one modality.
        second: (N,), estimates from the other modality.
        labels: (N,).

    Example:
        >>> estimate, labels = torch.randn(30), torch.arange(30) % 3
        >>> round(within_class_correlation(estimate, 2 * estimate + labels, labels), 6)
        1.0
    """
    a, b = first.double().clone(), second.double().clone()
    for label in torch.unique(labels):
        rows = labels == label
        a[rows] -= a[rows].mean()
        b[rows] -= b[rows].mean()
    return float(_correlation(a[:, None], b[:, None]))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of columns; zero for constant ones."""
    a, b = a - a.mean(0), b - b.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return torch.where(scale > 0, (a * b).sum(0) / scale, 0.0)


def _inverse_root(x: Tensor, ridge: float) -> Tensor:
    """Return the inverse square root of the regularized covariance of centered rows."""
    covariance = x.T @ x / len(x)
    variances, directions = torch.linalg.eigh(covariance)
    offset = max(ridge * float(variances.mean()), float(variances.max()) * 1e-12, torch.finfo(x.dtype).tiny)
    root: Tensor = directions @ torch.diag((variances.clamp(min=0) + offset).rsqrt()) @ directions.T
    return root
