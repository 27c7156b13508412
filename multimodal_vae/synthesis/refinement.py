"""Refinement of generated samples, by refiners that have learned what decoded samples lack."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Literal

import torch
from torch import Tensor

from multimodal_vae.checks import require_finite
from multimodal_vae.errors import TrainingError
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_checks import decoder_of, refiner_of
from multimodal_vae.observation import noise_of_refiner
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.scopes import evaluating

REFINED: Literal["refined"] = "refined"
"""What a modality's samples are, in place of a draw or an expected sample."""


def refined(
    vae: MultimodalVAE,
    refiners: Mapping[str, Refiner],
    latents: Tensor,
    labels: Tensor,
    seed: int,
    first: int,
    covariates: Tensor,
    batch_size: int = 256,
) -> dict[str, Tensor]:
    """Return refined samples (N, *shape) of the modalities that have a refiner, on the CPU.

    Args:
        vae: the model, which decodes the expected samples to refine.
        refiners: trained refiners, by modality.
        latents: (N, latent_dim).
        labels: (N,) of int64, class indices.
        seed: seed of the noise, of which each sample has its own, by its number.
        first: number of the first sample.
        covariates: (N, C), as a model takes them.
        batch_size: number of samples per batch.

    Raises:
        TrainingError: naming the refiner that gives another shape, or values that are not finite.
    """
    parts: dict[str, list[Tensor]] = {name: [torch.zeros(0, *vae.modalities[name].shape)] for name in refiners}
    with ExitStack() as stack:
        for module in (vae, *refiners.values()):
            stack.enter_context(evaluating(module))
        for start in range(0, len(latents), batch_size):
            z, given, of_class = (x[start : start + batch_size].to(vae.device) for x in (latents, covariates, labels))
            for name, decoded in vae.decode(z, refiners, given).items():
                coarse = require_finite(vae.modalities[name].observe(decoded), decoder_of(name))
                noise = noise_of_refiner(name, tuple(coarse.shape[1:]), seed, first + start, len(z))
                samples = refiners[name].to(vae.device)(coarse, z, of_class, noise.to(vae.device))
                if samples.shape != coarse.shape:
                    raise TrainingError(
                        f"{refiner_of(name)} gives samples of shape {tuple(samples.shape[1:])}; they "
                        f"must keep {tuple(coarse.shape[1:])}"
                    )
                parts[name].append(require_finite(samples, refiner_of(name)).cpu())
    return {name: torch.cat(batches) for name, batches in parts.items()}
