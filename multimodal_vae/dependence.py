"""Dependence between the elements of a sample that the decoded values leave unexplained."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from multimodal_vae.modalities.base import Modality, within_range

RANK = 32
"""Number of factors, at most; the rest of the noise is independent."""

_LEAST_OWN = 0.01
"""Least variance of an element that the others do not determine."""

_LEAST_KEPT = 0.2
"""Least share of variance that a score is taken to keep; those of rare words keep less, and tell hardly anything."""

_FAR = 4.5
"""Largest normal score; beyond it, float32 does not tell the probability from 1."""


class NoiseDependence(nn.Module):
    r"""A Gaussian copula of the noise: elements of a draw keep their likelihood, and depend on others as residuals do.

    A likelihood takes the elements of a sample as independent given the latent. What the model has not learned, because
    samples are few or training was short, remains dependent in the residuals, which distinguishes real samples from
    draws with independent noise. So the correlation R of the residuals' normal scores is measured after training, and

    .. math:: x_i = F_i^{-1}(\Phi(u_i)), \quad u \sim N(0, R)

    with the likelihood's distribution function :math:`F_i`. R is shrunk toward the identity (Ledoit and Wolf 2004) and
    kept as :data:`RANK` factors and independent rests. Training and log-likelihoods do not use it. Source: Nelsen
    (2006), *An Introduction to Copulas*, section 2.9.

    Args:
        modality: modality with a likelihood.
    """

    factors: Tensor

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.register_buffer("factors", torch.zeros(RANK, *modality.shape))

    def measure(self, likelihood: Distribution, samples: Tensor, labels: Tensor) -> None:
        """Set the factors from samples (N, *shape), their likelihoods, and labels (N,), -1 for none.

        Differences between classes are left out: they would mix the classes. Nothing changes if the likelihood has no
        distribution function per element.
        """
        try:
            scores = _normal_scores(likelihood, samples)
        except NotImplementedError:
            return
        if scores.shape != samples.shape:
            return
        scores, missing = scores.flatten(1).double(), samples.flatten(1).isnan()
        for label in {*labels.tolist()}:
            rows = labels == label
            known = (~missing[rows]).sum(0).clamp_min(1) / rows.sum()
            scores[rows] -= scores[rows].mean(0) / known  # missing ones are 0
        scores[missing] = 0
        deviation = scores.square().mean(0).sqrt()
        scores = torch.where(deviation > 1e-6, scores / deviation.clamp_min(1e-6), 0.0)
        lost = _lost_variance(likelihood, samples).flatten(1).double()
        if bool(missing.any() or lost.any()):
            factors = _factors_of_incomplete(scores, missing, lost)
        else:
            factors = _factors(scores)
        self.factors.copy_(factors.reshape(self.factors.shape))

    def draw(self, modality: Modality, decoded: Tensor) -> Tensor:
        """Draw samples (N, *shape), within the range of valid ones, with torch's default generator.

        Args:
            modality: the modality.
            decoded: its decoder's output.
        """
        likelihood = modality.likelihood(decoded)
        if likelihood is None or not self.factors.any():
            return modality.draw(decoded)
        common = torch.randn(len(decoded), len(self.factors)).to(decoded)
        own = torch.randn(len(decoded), *modality.shape).to(decoded)
        independent = (1 - self.factors.square().sum(0)).clamp_min(0).sqrt()
        scores = torch.einsum("nk,k...->n...", common, self.factors) + independent * own
        return within_range(modality, likelihood.icdf(torch.special.ndtr(scores.clamp(-_FAR, _FAR))))

    def complete(self, modality: Modality, decoded: Tensor, samples: Tensor, drawn: bool = True) -> Tensor:
        """Return samples whose missing elements, NaN, follow from the decoder's output and the known elements.

        Given the scores of known elements, the common factors are normal (Bishop, *Pattern Recognition and Machine
        Learning*, 2006, section 12.2): so a missing element takes part of what its neighbors have left unexplained.

        Args:
            modality: the modality, whose likelihood has a distribution function per element.
            decoded: the decoder's output for N latents.
            samples: (N, *shape).
            drawn: whether to draw, with torch's default generator, or to take the middle of what an element may be.
        """
        likelihood = modality.likelihood(decoded)
        if likelihood is None:
            return torch.where(samples.isnan(), modality.observe(decoded), samples)
        factors, missing = self.factors.flatten(1).to(decoded), samples.flatten(1).isnan()
        own = (1 - factors.square().sum(0)).clamp_min(_LEAST_OWN)
        lost = _lost_variance(likelihood, samples).flatten(1).to(decoded)
        weights = (~missing).to(decoded) / (own + lost)
        known = (_normal_scores(likelihood, samples).flatten(1).to(decoded) * weights) @ factors.T
        precision = torch.eye(len(factors)).to(decoded) + torch.einsum("ke,ne,le->nkl", factors, weights, factors)
        root = torch.linalg.cholesky(precision)
        common = torch.cholesky_solve(known[..., None], root)
        if drawn:
            noise = torch.randn(*known.shape, 1).to(decoded)
            common = common + torch.linalg.solve_triangular(root.mT, noise, upper=True)
        scores = common[..., 0] @ factors
        if drawn:
            scores = scores + own.sqrt() * torch.randn(*scores.shape).to(decoded)
        levels = torch.special.ndtr(scores.clamp(-_FAR, _FAR)).reshape(samples.shape)
        find = likelihood.icdf if drawn or not hasattr(likelihood, "center") else likelihood.center
        return torch.where(samples.isnan(), within_range(modality, find(levels)), samples)


def _normal_scores(likelihood: Distribution, samples: Tensor) -> Tensor:
    """Return the normal quantiles of the samples' probabilities, in the middle of the mass of a value that has some."""
    if hasattr(likelihood, "cdf_below"):
        below = likelihood.cdf_below(samples)
    else:
        below = likelihood.cdf(torch.nextafter(samples, torch.full_like(samples, -torch.inf)))
    middle = (likelihood.cdf(samples) + below) / 2
    scores: Tensor = torch.special.ndtri(middle.double()).clamp(-_FAR, _FAR)
    return scores.nan_to_num(0.0)  # 0 for missing elements


def _lost_variance(likelihood: Distribution, samples: Tensor) -> Tensor:
    """Return the variance of the normal score that a value leaves open, (N, *shape): 0 for one without a mass.

    It is that of a standard normal value between the scores of the probabilities of less than the value and of at most
    the value. Only distributions with ``cdf_below`` are asked, which have words, counts and limits.
    """
    if not hasattr(likelihood, "cdf_below"):
        return torch.zeros_like(samples)
    low, high = likelihood.cdf_below(samples).double(), likelihood.cdf(samples).double()
    mass = high - low
    a, b = (torch.special.ndtri(x.clamp(1e-12, 1 - 1e-12)) for x in (low, high))
    at_a, at_b = (torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi) for x in (a, b))
    middle = (at_a - at_b) / mass
    variance = 1 + (a * at_a - b * at_b) / mass - middle.square()
    return torch.where(mass > 1e-6, variance.clamp(0, 1), 0.0)


def _factors_of_incomplete(scores: Tensor, missing: Tensor, lost: Tensor) -> Tensor:
    """Return factors as :func:`_factors` does, from standardized scores of which some are missing or known in part.

    The correlation of two elements is that over samples which have both, divided by the share of variance that each
    score keeps: otherwise words and counts would depend less in draws than they do in samples.
    """
    known = (~missing).double()
    together = (known.T @ known).clamp_min(1.0) / len(scores)
    kept = (1 - (lost * known).sum(0) / known.sum(0).clamp_min(1.0)).clamp_min(_LEAST_KEPT).sqrt()
    products = scores.T @ scores / len(scores)
    share = known.mean(0).clamp_min(1e-12).sqrt()
    correlation = (products * torch.outer(share, share) / together / torch.outer(kept, kept)).clamp(-1, 1)
    correlation.fill_diagonal_(1.0)
    values, vectors = _leading(correlation)
    return _shrunk(vectors, values, _shrinkage(scores, products))


def _factors(scores: Tensor) -> Tensor:
    """Return factors (RANK, E) whose products are the shrunk correlation of standardized scores (N, E)."""
    count, elements = scores.shape
    few = count < elements  # the products of samples and those of elements have the same eigenvalues
    products = (scores @ scores.T if few else scores.T @ scores) / count
    values, vectors = _leading(products)
    directions = scores.T @ vectors / (count * values).clamp_min(1e-12).sqrt() if few else vectors
    return _shrunk(directions, values, _shrinkage(scores, products))


def _leading(products: Tensor) -> tuple[Tensor, Tensor]:
    """Return the greatest eigenvalues, at most :data:`RANK` and none negative, and their vectors in columns."""
    values, vectors = torch.linalg.eigh(products)
    kept = min(RANK, len(values))
    return values[-kept:].clamp_min(0), vectors[:, -kept:]


def _shrunk(directions: Tensor, values: Tensor, shrinkage: float) -> Tensor:
    """Return factors (RANK, E) of principal directions (E, K) and their variances, shrunk toward independence."""
    factors = directions.new_zeros(RANK, len(directions))
    factors[: len(values)] = (directions * ((1 - shrinkage) * values).sqrt()).T
    # An element cannot vary by more than one, which rounding and unequal samples might give.
    return factors / factors.square().sum(0).sqrt().clamp_min(1.0)


def _shrinkage(scores: Tensor, products: Tensor) -> float:
    """Return the weight of the identity, from the products of samples or of elements.

    Source: Ledoit and Wolf, *A well-conditioned estimator for large-dimensional covariance matrices* (2004), section 3.
    """
    count, elements = scores.shape
    squared = products.square().sum()
    spread = squared / elements - (products.trace() / elements) ** 2
    error = (scores.square().sum(1).square().mean() - squared) / (count * elements)
    return float((error / spread.clamp_min(1e-12)).clamp(0, 1))
