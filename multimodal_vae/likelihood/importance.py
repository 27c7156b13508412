"""Log-likelihood of samples under a model by importance sampling: jointly, of one modality, and conditionally."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked, real_samples, require_finite, require_whole
from multimodal_vae.conditions import values_of_samples
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.evaluation.bootstrap import interval, mean_of
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.likelihood.proposal import laplace
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_checks import decoder_of
from multimodal_vae.progress import track
from multimodal_vae.scopes import evaluating, seeded

LARGEST_CHUNK = 2**21
"""Most values of samples, or of latents, that are decoded at once (8 MiB)."""

SAMPLES = 200
"""Most samples that :func:`likelihood_metrics` rates."""

VALUES = 2**23
"""Most values that it decodes per posterior, beyond which it takes fewer draws."""


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates of the log-likelihood of samples.

    Attributes:
        values: (N,) of float64, in nats per sample; a density is per unit of the data.
        effective_draws: (N,), the number of draws that count: far below 10, the value is too low.
    """

    values: Tensor
    effective_draws: Tensor

    def given(self, other: "LogLikelihood") -> "LogLikelihood":
        r"""Return the conditional log-likelihood of what only these samples have, given the other's modalities.

        .. math:: \log p(x_a \mid x_b) = \log p(x_a, x_b) - \log p(x_b)

        Where the second term is too low, the result is too high.
        """
        return LogLikelihood(self.values - other.values, torch.minimum(self.effective_draws, other.effective_draws))


def modalities_with_likelihood(vae: MultimodalVAE) -> list[str]:
    """Return the modalities whose decoder describes a distribution of samples."""
    with evaluating(vae):
        decoded = vae.decode(torch.zeros(1, vae.latent_dim, device=vae.device))
    return [name for name, modality in vae.modalities.items() if modality.likelihood(decoded[name]) is not None]


@checked
def log_likelihood(
    vae: MultimodalVAE,
    samples: Mapping[str, Tensor],
    of: Sequence[str] | None = None,
    draws: int = 1000,
    seed: int | None = None,
    proposal: Literal["laplace", "posterior"] = "laplace",
    covariates: Any = None,
) -> LogLikelihood:
    r"""Estimate the log-likelihood of samples under a model, by importance sampling from their posteriors.

    .. math:: \log p(x) \approx \log \frac1K \sum_{k=1}^K \frac{p(x \mid z_k)\, p(z_k)}{q(z_k \mid x)},
        \quad z_k \sim q(z \mid x)

    The prior is N(0, I), also for private latents; those of modalities that do not count have no part in it, nor have
    classes. The proposal *q* may be any density: the expected value is a lower bound, which rises to the log-likelihood
    with the number of draws, sooner if *q* is nearer to the exact posterior.

    Args:
        vae: trained model.
        samples: (N, *shape) by modality, which give the posterior.
        of: modalities whose likelihood counts, some of the samples' modalities. Default: all that have a likelihood.
        draws: *K*, draws per posterior.
        seed: seed of the draws. Default: torch's current random state.
        proposal: *q*; ``"laplace"``, the Gaussian at the mode of the exact posterior with its full covariance, found
            from the encoder's; or ``"posterior"``, the Gaussian that the encoder gives (for mixtures of experts the one
            with the mixture's mean and variance), which takes less time and, in many dimensions, far more draws.
        covariates: covariates of the samples, on which the likelihood is conditional, as for
            :meth:`~multimodal_vae.model.MultimodalVAE.encode`.

    Raises:
        DataError: if none of the modalities has a likelihood or one of ``of`` has none, samples do not fit, or the
            fusion needs an absent modality.
        ConfigurationError: if ``draws`` is below 1.

    Source: Burda, Grosse and Salakhutdinov (2016), *Importance weighted autoencoders*, equation 8; effective draws:
        Kong (1992), *A note on importance sampling using standardized weights*.

    Example:
        >>> from multimodal_vae import Vector
        >>> vae = MultimodalVAE({"x": Vector(size=2)}, ["any"], latent_dim=1, seed=0)
        >>> log_likelihood(vae, {"x": torch.zeros(3, 2)}, draws=10, seed=0).values.shape
        torch.Size([3])
    """
    require_whole("draws", draws, 1)
    able = [name for name in modalities_with_likelihood(vae) if name in samples]
    names = able if of is None else [*of]
    if not names:
        raise DataError(f"none of the modalities {[*samples]} has a likelihood; give samples of one that has")
    for name in names:
        if name not in able:
            raise DataError(f"{name!r} has no likelihood, or no samples of it are given; {did_you_mean(name, able)}")
    posterior, known = (
        vae.encode(samples, covariates=covariates),
        values_of_samples(vae.covariates, samples, covariates),
    )
    private = vae.fusion.private
    starts = [vae.shared_dim + private * column for column, name in enumerate(vae.modalities) if name in names]
    used = [*range(vae.shared_dim), *(start + number for start in starts for number in range(private))]
    targets = {name: real_samples(name, samples[name]) for name in names}
    at_once = max(1, LARGEST_CHUNK // max(vae.latent_dim, sum(vae.modalities[name].elements for name in names)))
    size = max(1, min(at_once, LARGEST_CHUNK // len(used) ** 2, 256))
    values, effective = [torch.zeros(0).double()], [torch.zeros(0).double()]
    with evaluating(vae), seeded(seed):
        chunks = [slice(start, start + size) for start in range(0, len(posterior.mean), size)]
        for rows in track(chunks, f"likelihood of {' and '.join(names)}"):
            start = Gaussian(posterior.mean[rows][:, used], posterior.logvar[rows][:, used])
            given = known[rows].to(vae.device)
            joint = partial(_log_joint, vae, {name: x[rows].to(vae.device) for name, x in targets.items()}, given, used)
            own = (
                laplace(joint, Gaussian(start.mean.to(vae.device), start.logvar.to(vae.device)))
                if proposal == "laplace"
                else Independent(Normal(start.mean.double(), (0.5 * start.logvar.double()).exp()), 1)
            )
            weights = []
            for part in torch.split(torch.arange(draws), max(1, at_once // len(start.mean))):
                z = own.rsample(part.shape)
                found = joint(z.flatten(0, 1).to(next(vae.parameters()))).cpu().double()
                if bool(found.isnan().any()):  # minus infinity is the log-likelihood of an impossible sample
                    require_finite(found, " or ".join(map(decoder_of, names)))
                weights.append(found.reshape(z.shape[:2]) - own.log_prob(z))  # type: ignore[no-untyped-call]
            log_weights = torch.cat(weights)
            total = log_weights.logsumexp(0)
            values.append(total - math.log(draws))
            effective.append((2 * total - (2 * log_weights).logsumexp(0)).exp())
    return LogLikelihood(torch.cat(values), torch.cat(effective))


def _log_joint(
    vae: MultimodalVAE, targets: Mapping[str, Tensor], covariates: Tensor, used: Sequence[int], z: Tensor
) -> Tensor:
    """Return log p(x, z) of K draws for each of N samples, (K N,), given the latents that count, (K N, D)."""
    latents = z.new_zeros(len(z), vae.latent_dim)
    latents[:, used] = z
    decoded = vae.decode(latents, targets, covariates.repeat(len(z) // len(covariates), 1))
    total = Gaussian.standard_like(z).log_prob(z)
    for name, x in targets.items():
        target = x.to(z).repeat(len(z) // len(x), *[1] * (x.dim() - 1))
        total = total + vae.modalities[name].log_likelihood(decoded[name], target)
    return total


@checked
def likelihood_metrics(
    vae: MultimodalVAE, held_out: LabeledSamples, resamples: int = 200, seed: int = 0
) -> list[MetricResult]:
    """Return the mean log-likelihood of held-out samples, in nats per sample.

    ``likelihood/joint`` is that of all modalities together; ``likelihood/<modality>`` that of one, with the posterior
    given this one only; and ``likelihood/<modality> given <others>`` the conditional one. Modalities without a
    likelihood, and posteriors that the fusion refuses, are left out. At most :data:`SAMPLES` samples, chosen by the
    seed, are rated. The fewer draws, 100 to 1000, the more values a sample has.

    Args:
        vae: trained model.
        held_out: samples that it was not trained on.
        resamples: number of bootstrap resamples.
        seed: seed of all random choices.
    """
    names = modalities_with_likelihood(vae)
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(require_seed(seed)))
    chosen = held_out.take(order[:SAMPLES].sort().values)
    found: dict[tuple[str, ...], LogLikelihood | None] = {}

    def rate(*of: str) -> LogLikelihood | None:
        if of not in found:
            given = vae.modalities if [*of] == names else of  # the posterior may know those without a likelihood
            values = sum(vae.modalities[name].elements for name in of)
            draws = min(1000, max(100, VALUES // (values * max(1, len(chosen)))))
            try:
                values_given = {name: chosen.values[name] for name in given}
                found[of] = log_likelihood(vae, values_given, of, draws, seed, covariates=chosen.covariates)
            except DataError:
                found[of] = None
        return found[of]

    rated: dict[str, LogLikelihood | None] = {}
    if len(names) > 1:
        rated["joint"] = rate(*names)
    rated |= {name: rate(name) for name in names}
    for name in names if len(names) > 1 else []:
        others = [other for other in names if other != name]
        whole, known = rate(*names), rate(*others)
        rated[f"{name} given {', '.join(others)}"] = whole.given(known) if whole and known else None
    return [
        MetricResult(
            f"likelihood/{name}",
            float(each.values.mean()),
            interval=interval(mean_of(each.values), len(chosen), chosen.groups, resamples, seed=seed),
            context={"effective draws": float(each.effective_draws.mean())},
        )
        for name, each in rated.items()
        if each
    ]
