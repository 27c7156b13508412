"""Whether the modalities of one sample belong together: of one class, and within it, of one individual."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers


def agreement(first: Tensor, second: Tensor, wanted: Tensor | None = None) -> float:
    """The share of pairs whose modalities are judged to be of one class, and of the wanted one where it is given.

    Args:
        first: (N,), labels that a judge of one modality gives.
        second: (N,), labels that a judge of another gives to the same samples.
        wanted: (N,).

    Example:
        >>> agreement(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        0.6666666666666666
    """
    same = first == second
    if wanted is not None:
        same &= first == wanted
    return float(same.double().mean())


def shuffled_within(labels: Tensor, seed: int) -> Tensor:
    """An order of rows in which each place has another's row of the same class: pairs that share the class alone.

    Each class is rotated by chance, so that no row keeps its place, unless it is the only one of its class.
    """
    rng = np.random.default_rng(seed)
    order = torch.arange(len(labels))
    for label in torch.unique(labels):
        rows = torch.nonzero(labels == label).flatten()
        rows = rows[torch.from_numpy(rng.permutation(len(rows)))]
        order[rows] = rows.roll(1)
    return order


@dataclass(frozen=True)
class Canonical:
    """Directions of two clouds of features along which they go together most.

    Attributes:
        first: (P, C), directions of the one, after its mean is taken away.
        second: (Q, C), of the other.
        means: (P,) and (Q,).
    """

    first: Tensor
    second: Tensor
    means: tuple[Tensor, Tensor]

    def correlations(self, x: Tensor, y: Tensor) -> Tensor:
        """Correlation of the two along each pair of directions, (C,), from -1 to 1, zero where one does not vary."""
        a = (x.double() - self.means[0]) @ self.first
        b = (y.double() - self.means[1]) @ self.second
        return _correlation(a, b)


def canonical(x: Tensor, y: Tensor, components: int = 1, ridge: float = 0.5) -> Canonical:
    """Regularized canonical correlation analysis.

    Args:
        x: (N, P), features of one modality.
        y: (N, Q), features of the other, of the same samples.
        components: how many pairs of directions; never more than P or Q.
        ridge: added to each covariance, as a fraction of its mean variance; without it, few samples fit perfectly.

    Source: Hotelling, *Relations between two sets of variates* (1936); the ridge: Vinod, *Canonical ridge and
        econometrics of joint production* (1976).
    """
    x, y = x.double(), y.double()
    means = x.mean(0), y.mean(0)
    x, y = x - means[0], y - means[1]
    left, right = _inverse_root(x, ridge), _inverse_root(y, ridge)
    u, _, vh = torch.linalg.svd(left @ (x.T @ y / len(x)) @ right, full_matrices=False)
    return Canonical(left @ u[:, :components], right @ vh[:components].T, means)


@dataclass(frozen=True)
class Coherence:
    """How strongly two modalities go together within a class, and what chance alone gives.

    Attributes:
        value: by class, mean held-out correlation along the canonical directions.
        zero: by class, the same after pairs have been shuffled within the class.
    """

    value: dict[int, float]
    zero: dict[int, float]

    def means(self) -> tuple[float, float]:
        """Value and zero, averaged over classes."""
        return tuple(sum(each.values()) / len(each) for each in (self.value, self.zero))  # type: ignore[return-value]


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
    """Canonical correlations within each class, found in one half of its groups and measured in the other.

    Pairs that were drawn independently within the class have none, however well each modality is drawn. Only what
    is linear in the features is seen, and of features of large variance more than of small. Take features that a judge
    of the one modality has learned: of pixels, the directions of largest variance are light and place, which no
    other modality knows of.

    Args:
        x: (N, P), features of one modality; P well below the number of samples of a class.
        y: (N, Q), features of the other.
        labels: (N,).
        groups: (N,), whose each sample is; a group is never in both halves.
        components: how many pairs of directions to average.
        ridge: as for :func:`canonical`.
        repeats: over how many random halvings to average, each used both ways.
        seed: of the halvings and of the shuffling.

    Raises:
        DataError: naming a class with fewer than four groups.

    Example:
        >>> common, labels = torch.randn(200, 1), torch.arange(200) % 2
        >>> x, y = common + 0.1 * torch.randn(200, 3), common + 0.1 * torch.randn(200, 2)
        >>> value, zero = within_class_coherence(x, y, labels, components=1).means()
        >>> value > 0.9, abs(zero) < 0.3
        (True, True)
    """
    rng = np.random.default_rng(seed)
    numbers = torch.from_numpy(group_numbers(groups, len(labels)))
    value, zero = {}, {}
    for label in torch.unique(labels).tolist():
        rows = torch.nonzero(labels == label).flatten()
        own = torch.unique(numbers[rows])
        if len(own) < 4:
            raise DataError(f"class {label} has {len(own)} groups, and halves of it need four at least")
        found: list[float] = []
        chance: list[float] = []
        for repeat in range(repeats):
            shuffled = y[shuffled_within(labels, seed + repeat)]
            half = own[torch.from_numpy(rng.permutation(len(own))[: len(own) // 2])]
            chosen = torch.isin(numbers[rows], half)
            for fit, held in ((rows[chosen], rows[~chosen]), (rows[~chosen], rows[chosen])):
                for target, results in ((y, found), (shuffled, chance)):
                    directions = canonical(x[fit], target[fit], components, ridge)
                    results.append(float(directions.correlations(x[held], target[held]).mean()))
        value[int(label)] = sum(found) / len(found)
        zero[int(label)] = sum(chance) / len(chance)
    return Coherence(value, zero)


def within_class_correlation(first: Tensor, second: Tensor, labels: Tensor) -> float:
    """Correlation of two readings of one thing after each class's mean is taken away, from -1 to 1.

    For a cause that can be read from either modality: whether both show the same fluid, pressure or rate. Readings
    shrink toward the class's mean where a modality hardly shows a cause, so compare with real pairs' own value.

    Args:
        first: (N,), as read from one modality.
        second: (N,), as read from the other.
        labels: (N,).

    Example:
        >>> reading, labels = torch.randn(30), torch.arange(30) % 3
        >>> round(within_class_correlation(reading, 2 * reading + labels, labels), 6)
        1.0
    """
    a, b = first.double().clone(), second.double().clone()
    for label in torch.unique(labels):
        rows = labels == label
        a[rows] -= a[rows].mean()
        b[rows] -= b[rows].mean()
    return float(_correlation(a[:, None], b[:, None]))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Of columns; zero where one of them does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return torch.where(scale > 0, (a * b).sum(0) / scale, 0.0)


def _inverse_root(x: Tensor, ridge: float) -> Tensor:
    """The inverse square root of the regularized covariance of centered rows."""
    covariance = x.T @ x / len(x)
    variances, directions = torch.linalg.eigh(covariance)
    baseline = max(ridge * float(variances.mean()), float(variances.max()) * 1e-12, torch.finfo(x.dtype).tiny)
    root: Tensor = directions @ torch.diag((variances.clamp(min=0) + baseline).rsqrt()) @ directions.T
    return root
