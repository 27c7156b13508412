"""Trials of samplers: densities fitted without some patients, compared with the latents of these."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distances import nearest
from multimodal_vae.errors import SamplerError
from multimodal_vae.samplers.base import DensitySampler


@dataclass(frozen=True)
class Cohort:
    """Latents of several classes, with folds of whole patients.

    Attributes:
        latents: (N, D).
        labels: (N,), indices of classes.
        patients: (N,), patient of each latent.
        fold: (N,), fold of each latent; a patient is in one fold.
    """

    latents: Tensor
    labels: Tensor
    patients: Sequence[str]
    fold: Tensor


@dataclass(frozen=True)
class HeldOut:
    """One class in one fold.

    Attributes:
        label: index of the class.
        rows: (M,), rows of the latents that are held out.
        fitted: (N, D), latents of this class in all other folds.
        density: fitted to these; None if it cannot be fitted.
        failure: reason why it cannot be fitted.
    """

    label: int
    rows: Tensor
    fitted: Tensor
    density: Distribution | None
    failure: str = ""


def cross_validate(sampler: DensitySampler, cohort: Cohort) -> Iterator[HeldOut]:
    """Hold out each fold in turn, and fit one density per class to the latents of all other folds.

    Args:
        sampler: unfitted sampler; it is copied.
        cohort: latents and folds.

    Yields:
        Each class that has latents in the fold.
    """
    latents, labels = cohort.latents, cohort.labels
    classes = range(int(labels.max()) + 1)
    for number in torch.unique(cohort.fold).tolist():
        held_out = cohort.fold == number
        rest = [(~held_out & (labels == index)).nonzero().flatten() for index in classes]
        patients = [[cohort.patients[row] for row in rows.tolist()] for rows in rest]
        fitted = DensitySampler.of(sampler).fit_classes([latents[rows] for rows in rest], patients)
        for index, density in enumerate(fitted.densities):
            rows = (held_out & (labels == index)).nonzero().flatten()
            if not len(rows):
                continue
            try:
                found, failure = None if density is None else density(), fitted.failures.get(index, "")
            except SamplerError as error:
                found, failure = None, str(error)
            yield HeldOut(index, rows, latents[rest[index]], found, failure)


@dataclass(frozen=True)
class Trial:
    """What the densities of a sampler do on held-out patients.

    Attributes:
        log_density: (N,), log density of each latent in nats; NaN in classes that cannot be fitted.
        draws: (N, D), as many draws of each density as there are held-out latents; NaN likewise.
        membership: AUC of the attack that tells fitted from held-out latents of a class by their distance to the
            nearest of as many draws as there are fitted latents. Source: Chen et al. (2020), *GAN-Leaks*.
        failures: reason by class that cannot be fitted in some fold.
    """

    log_density: Tensor
    draws: Tensor
    membership: float
    failures: dict[int, str]


def try_sampler(sampler: DensitySampler, cohort: Cohort) -> Trial:
    """Return the trial of a sampler; draws come from torch's default generator."""
    log_density = torch.full((len(cohort.latents),), math.nan, dtype=torch.float64)
    draws = torch.full_like(cohort.latents, math.nan)
    failures: dict[int, str] = {}
    recognized = 0.0
    for part in cross_validate(sampler, cohort):
        if part.density is None or part.label in failures:
            failures.setdefault(part.label, part.failure)
            continue
        held_out = cohort.latents[part.rows]
        try:
            log_density[part.rows] = part.density.log_prob(held_out).double().cpu()
        except NotImplementedError:
            failures[part.label] = "its log density is not known"
            continue
        draws[part.rows] = part.density.sample((len(held_out),))
        released = part.density.sample((len(part.fitted),))
        distances = [nearest(points, released)[0].flatten() for points in (held_out, part.fitted)]
        recognized += len(held_out) * auc(*distances)[0]
    for label in failures:  # also folds in which it could be fitted
        log_density[cohort.labels == label] = draws[cohort.labels == label] = math.nan
    return Trial(log_density, draws, recognized / max(1, int((~log_density.isnan()).sum())), failures)


def two_sample(cohort: Cohort, draws: Tensor) -> tuple[float, float]:
    """Return the AUC of a classifier of draws against latents, and its standard error.

    In each fold, gradient-boosted trees on the principal components with 98 % of the variance are trained and tested on
    different patients. So latents are compared with draws of densities that were fitted without their patients, and
    never with the fitted latents, near which the draws of a density that memorizes lie. Directions of little variance,
    such as those that the model does not use, are left out.

    Args:
        cohort: latents and folds.
        draws: (N, D), as many draws in each fold as latents, not finite in classes to leave out.

    Source: Lopez-Paz and Oquab (2017), *Revisiting classifier two-sample tests*.
    """
    usable = draws.isfinite().all(1)
    number = {name: index for index, name in enumerate(dict.fromkeys(cohort.patients))}
    owner = torch.tensor([number[name] for name in cohort.patients])
    real, generated = torch.full((2, len(owner)), 0.5, dtype=torch.float64)
    for fold in torch.unique(cohort.fold):
        rows = (usable & (cohort.fold == fold)).nonzero().flatten()
        part = torch.unique(owner[rows], return_inverse=True)[1] % _PARTS
        points = torch.cat([cohort.latents[rows], draws[rows]]).double().cpu().numpy()
        scores = _scores(points, torch.cat([part, torch.arange(len(rows)) % _PARTS]).numpy())
        real[rows], generated[rows] = torch.from_numpy(scores).chunk(2)
    return auc(generated[usable], real[usable], owner[usable])


_PARTS = 3
"""Parts of a fold, of whole patients; a classifier is trained on all but one."""

_LEAF = 20
"""Points in a leaf, at least; of fewer than twice as many, a tree has no split, and all points get the same score."""


def _scores(points: NDArray[np.float64], part: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability that each point is of the second half, by a classifier trained on other parts."""
    from sklearn.decomposition import PCA  # importing scikit-learn takes a second
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores, truth = np.full(len(points), 0.5), np.arange(len(points)) >= len(points) // 2
    if len(points) < 2 * _LEAF or not points.var(0).any():
        return scores
    features = PCA(0.98, svd_solver="full").fit_transform(points)
    for number in range(_PARTS):
        train, test = part != number, part == number
        if test.any() and train.sum() >= 2 * _LEAF and len(set(truth[train])) == 2:
            model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, min_samples_leaf=_LEAF)
            scores[test] = model.fit(features[train], truth[train]).predict_proba(features[test])[:, 1]
    return scores


def auc(higher: Tensor, lower: Tensor, owner: Tensor | None = None) -> tuple[float, float]:
    """Return the probability that one score exceeds another, ties counting as half, and its standard error.

    Args:
        higher: (M,), scores that should be higher.
        lower: (N,), scores that should be lower.
        owner: (N,), patient of each of these. Default: each its own.

    Source: DeLong, DeLong and Clarke-Pearson (1988); for several scores per patient, Obuchowski (1997),
        *Nonparametric analysis of clustered ROC curve data*.

    Example:
        >>> auc(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0]))[0]
        0.875
    """
    above = 1 - _share_below(higher, lower)  # (N,), the AUC of each lower score against all higher ones
    below = _share_below(lower, higher)  # (M,)
    value = float(above.mean())
    ours = torch.arange(len(lower)) if owner is None else torch.unique(owner, return_inverse=True)[1]
    sums = torch.zeros(int(ours.max()) + 1, dtype=torch.float64).index_add(0, ours, above - value)
    variance = sums.square().sum() / len(lower) ** 2 + (below - value).square().mean() / len(higher)
    return value, float(variance.sqrt())


def _share_below(scores: Tensor, points: Tensor) -> Tensor:
    """Return the share of scores below each point, those equal to it counting as half."""
    ordered = scores.double().sort().values
    points = points.double()
    counts = torch.searchsorted(ordered, points) + torch.searchsorted(ordered, points, right=True)
    return counts.double() / (2 * len(scores))
