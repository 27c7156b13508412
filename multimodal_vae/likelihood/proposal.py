"""Proposals for importance sampling of latents: Laplace's approximation of exact posteriors."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from multimodal_vae.distributions import Gaussian

STEPS, RATE = 100, 0.2
"""Steps of Adam to the mode, and its first learning rate, where the prior's deviation is 1."""

DIFFERENCE = 0.05
"""Distance over which gradients are compared."""

WIDER, LARGEST_VARIANCE = 1.2, 4.0
"""Factor on the covariance, since a proposal must not be narrower than the posterior, and the largest variance."""


def laplace(log_joint: Callable[[Tensor], Tensor], start: Gaussian) -> MultivariateNormal:
    """Return Gaussians at the modes of posteriors, with their full curvature, N of them over D dimensions, in float64.

    An encoder's posterior is diagonal and only near the exact one, so that in many dimensions few of its draws count.
    Where the curvature is not finite, the result is the start, wider.

    Args:
        log_joint: function of latents (N, D) that gives log p(x, z) of each sample, (N,), with gradients.
        start: posteriors of the encoder, (N, D), whose means are the first latents.

    Source: Bishop (2006), *Pattern recognition and machine learning*, section 4.4.
    """
    mode = _climb(log_joint, start.mean)
    gradient = _gradient(log_joint, mode)
    columns = []
    for dimension in range(mode.shape[1]):
        moved = mode.clone()
        moved[:, dimension] += DIFFERENCE
        columns.append((gradient - _gradient(log_joint, moved)) / DIFFERENCE)
    precision = torch.stack(columns, 2).cpu().double()
    precision = (precision + precision.mT) / 2
    usable = precision.isfinite().all(2).all(1) & mode.isfinite().all(1).cpu()
    precision = torch.where(usable[:, None, None], precision, torch.diag_embed((-start.logvar).exp().cpu().double()))
    values, vectors = torch.linalg.eigh(precision)
    covariance = vectors / values.clamp(min=1 / LARGEST_VARIANCE)[:, None] @ vectors.mT
    newton = mode + (covariance @ gradient.cpu().double()[..., None])[..., 0].to(mode)
    with torch.no_grad():
        better = log_joint(newton) > log_joint(mode)
    mode = torch.where(better[:, None], newton, mode)
    mean = torch.where(usable[:, None], mode.cpu().double(), start.mean.cpu().double())
    return MultivariateNormal(mean, WIDER * covariance, validate_args=False)


def _climb(log_joint: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Return latents (N, D) near modes, by Adam with a falling learning rate."""
    latents = start.detach().clone()
    optimizer = torch.optim.Adam([latents], lr=RATE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        latents.grad = -_gradient(log_joint, latents).nan_to_num(0, 0, 0)
        optimizer.step()
    return latents


def _gradient(log_joint: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    with torch.enable_grad():
        point = latents.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(log_joint(point).sum(), point)
    return gradient
