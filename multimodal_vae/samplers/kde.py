"""Kernel density estimation, the paper's sampler."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distances import exact_distances
from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.samplers.base import NEAR_COPIES, DensitySampler, require_spread

Kernel = Literal["plain", "variance_preserving"]


class KDE(DensitySampler):
    r"""Kernel density with a Gaussian kernel on each latent, :math:`p(z) = \frac1N \sum_i \mathcal N(z; z_i, h^2 I)`.

    **It gives the patients away.** The density consists of their embeddings, and samples are near copies of them: on
    the simulated otitis cohort, an attacker recognized 64 % of the training patients at one false positive in a
    hundred. To share samples of real patients, take :class:`~multimodal_vae.samplers.auto.Auto` or
    :class:`~multimodal_vae.samplers.gmm.GMM`.

    The density is wider than the latents: kernels add :math:`h^2` to the variance of each dimension.
    ``kernel="variance_preserving"`` contracts it toward the latents' mean *m*, so that the total variance equals the
    latents' own, :math:`D s^2` (maximum likelihood). A draw is

    .. math:: z = m + c\,(z_i - m + h \varepsilon), \quad c = 1 / \sqrt{1 + h^2 / s^2},

    and the density is :math:`\frac1N \sum_i \mathcal N(z; m + c(z_i - m), c^2 h^2 I)` (Jones 1991, *On correcting
    for variance inflation in kernel density estimation*; Silverman and Young 1987, *The bootstrap: to smooth or not to
    smooth?*). One *c* for all dimensions keeps the kernels isotropic under rotations of the latent space.

    Args:
        bandwidth: *h*. Default: the value of ``bandwidths`` with the highest held-out likelihood under this kernel.
        bandwidths: grid of candidates. Default: 41 values from 0.03 to 3 times *s*, the root of the latents' mean
            variance.
        folds: number of cross-validation folds, contiguous blocks as in scikit-learn's ``KFold``; at most the number
            of latents.
        kernel: ``"plain"`` or ``"variance_preserving"``.
        selection: how to score a bandwidth: ``"cross_validation"`` over the folds or ``"leave_one_out"``; of more than
            4096 latents, evenly spaced ones are held out.
        shared: whether all classes share the bandwidth with the highest sum of held-out likelihoods; use it for small
            classes.

    Example:
        >>> density = KDE(bandwidth=1.0).fit(torch.tensor([[0.0], [4.0]]))()
        >>> density.sample((3,)).shape
        torch.Size([3, 1])
    """

    points: Tensor
    chosen: Tensor
    discloses = NEAR_COPIES

    def __init__(
        self,
        bandwidth: PositiveFloat | None = None,
        bandwidths: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None,
        folds: Annotated[int, Field(ge=2)] = 5,
        kernel: Kernel = "plain",
        selection: Literal["cross_validation", "leave_one_out"] = "cross_validation",
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        self.bandwidths = bandwidths
        self.folds = folds
        self.kernel: Kernel = kernel
        self.selection = selection
        self.shared = shared
        self.register_buffer("points", None)
        self.register_buffer("chosen", None)

    def prepare(self, classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None = None) -> DensitySampler:
        """Choose the bandwidth of all classes, if they share one."""
        usable = [latents for latents in classes if len(latents) > 1 and bool(latents.isfinite().all())]
        if not self.shared or self.bandwidth is not None or not usable:
            return self
        return type(self)(**{**self._settings, "bandwidth": self._best(usable)})

    def fit(self, latents: Tensor) -> Self:
        """Store the latents (N, D) and choose the bandwidth."""
        require_spread(latents, self.name)
        latents = latents.detach().clone()
        self.points = latents
        self.chosen = latents.new_tensor(self._best([latents]) if self.bandwidth is None else self.bandwidth)
        return self

    def _best(self, classes: Sequence[Tensor]) -> float:
        """Return the candidate with the highest held-out likelihood, summed over classes."""
        grid = self.bandwidths
        if grid is None:
            total = sum(float(_variance(latents)) * len(latents) for latents in classes)
            spread = math.sqrt(total / sum(map(len, classes)))
            grid = (spread * torch.logspace(math.log10(0.03), math.log10(3), 41)).tolist()
        scores = torch.zeros(len(grid), dtype=torch.float64)
        for latents in classes:
            folds = len(latents) if self.selection == "leave_one_out" else min(self.folds, len(latents))
            scores += cross_validated_log_likelihood(latents, grid, folds, self.kernel)
        return grid[int(scores.argmax())]

    def forward(self) -> Distribution:
        """Return a mixture with one component per latent."""
        self.state()
        points, h = self.points, self.chosen
        if self.kernel == "variance_preserving":
            mean, c = points.mean(0), torch.rsqrt(1 + h.square() / _variance(points).to(h))
            points, h = mean + c * (points - mean), c * h
        return GaussianMixture(points.new_ones(len(points)), points, h.expand(1, points.shape[1]))


def _variance(latents: Tensor) -> Tensor:
    """Return the mean over dimensions of the maximum likelihood variance."""
    return latents.detach().to("cpu", torch.float64).var(0, correction=0).mean()


def cross_validated_log_likelihood(
    latents: Tensor, bandwidths: list[float], folds: int, kernel: Kernel = "plain"
) -> Tensor:
    """Return the log density of each fold under kernels on the others, summed, in nats: (B,), one per bandwidth.

    Exact for up to 4096 latents; of more, evenly spaced ones are held out and their sum is scaled, so that time grows
    with N instead of its square. scikit-learn's ``KernelDensity`` agrees with ``leaf_size=N``; with its default leaf
    size it is far off in many dimensions. Distances are computed once for all bandwidths, in blocks of rows.

    Args:
        latents: (N, D).
        bandwidths: candidates.
        folds: number of contiguous blocks; N is leave-one-out.
        kernel: as for :class:`KDE`; the variance-preserving kernel uses mean and variance of the other folds.
    """
    points = latents.detach().to("cpu", torch.float64)
    count = len(points)
    fold = torch.cat([part.new_full((len(part),), i) for i, part in enumerate(torch.arange(count).tensor_split(folds))])
    scores = torch.zeros(len(bandwidths), dtype=torch.float64)
    held_out = torch.arange(count)[:: math.ceil(count / max(_FEWEST, _PAIRS // count))]
    parts = torch.split(held_out, max(1, _CHUNK // count))
    if kernel == "plain":
        for rows in parts:
            scores += _plain_scores(points, fold, rows, bandwidths)
        return scores * (count / len(held_out))
    means, variances = points.new_empty(folds, points.shape[1]), points.new_empty(folds)
    for number in range(folds):
        rest = points[fold != number]
        means[number], variances[number] = rest.mean(0), rest.var(0, correction=0).mean()
    for rows in parts:
        scores += _shrunk_scores(points, fold, rows, bandwidths, means[fold[rows]], variances[fold[rows]])
    return scores * (count / len(held_out))


_PAIRS, _FEWEST = 2**24, 256  # distances in all, and the least number of latents to hold out

_CHUNK = 2**22  # distances in memory at one time: 32 MiB for each of a few matrices


def _plain_scores(points: Tensor, fold: Tensor, rows: Tensor, bandwidths: list[float]) -> Tensor:
    """Return the summed log density of some latents under kernels on the other folds, (B,)."""
    same_fold = fold[rows, None] == fold
    others = (~same_fold).sum(1).to(points)
    squared = exact_distances(points[rows], points).square().masked_fill_(same_fold, math.inf)
    nearest = squared.amin(1)
    squared.sub_(nearest[:, None])
    widths = points.new_tensor(bandwidths)[:, None].expand(-1, len(rows))
    return torch.stack([_score(squared, nearest, others, points.shape[1], width) for width in widths])


def _shrunk_scores(
    points: Tensor, fold: Tensor, rows: Tensor, bandwidths: list[float], means: Tensor, variance: Tensor
) -> Tensor:
    """Do the same for variance-preserving kernels, given mean (R, D) and variance (R,) of each latent's other folds."""
    # Mean and variance depend on the fold that is held out. Distances to contracted latents follow from
    # |a - c b|^2 = (1 - c) |a|^2 - c (1 - c) |b|^2 + c |a - b|^2.
    same_fold = fold[rows, None] == fold
    others = (~same_fold).sum(1).to(points)
    squared, from_mean = exact_distances(points[rows], points).square(), exact_distances(means, points).square()
    own = (points[rows] - means).square().sum(1)[:, None]
    scores = []
    for h in bandwidths:
        # A single latent has no variance to preserve.
        shrinkage = torch.where(variance > 0, torch.rsqrt(1 + h**2 / variance), 1)
        c = shrinkage[:, None]
        shrunk = (1 - c) * own - c * (1 - c) * from_mean + c * squared
        shrunk.masked_fill_(same_fold, math.inf)
        nearest = shrunk.amin(1)
        scores.append(_score(shrunk.sub_(nearest[:, None]), nearest, others, points.shape[1], h * shrinkage))
    return torch.stack(scores)


def _score(excess: Tensor, nearest: Tensor, others: Tensor, dimensions: int, width: Tensor) -> Tensor:
    """Return the summed log density of latents under Gaussian kernels.

    Args:
        excess: (R, N), squared distance to each kernel minus that to the nearest one.
        nearest: (R,), squared distance to the nearest kernel.
        others: (R,), number of kernels.
        dimensions: number of latent dimensions.
        width: (R,), standard deviation of the kernels per latent.
    """
    # Relative to the nearest kernel the sum is at least 1, so exp(-700) = 1e-304 adds nothing. Below it, exp is twenty
    # times slower.
    relative = excess.mul((-0.5 / width.square())[:, None]).clamp_min_(-700).exp_().sum(1)
    mean = relative.log() - others.log() - 0.5 * nearest / width.square()  # log of the mean over kernels
    log_density: Tensor = mean - dimensions * (width * math.sqrt(2 * math.pi)).log()
    return log_density.sum()
