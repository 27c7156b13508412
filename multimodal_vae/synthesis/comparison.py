"""Which sampler describes a model's latents best: the likelihood of those of patients that it has not seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import ConfigurationError, DataError, SamplerError
from multimodal_vae.samplers.base import DensitySampler


@dataclass(frozen=True)
class HeldOut:
    """How likely latents are under densities that were fitted without their patients.

    Attributes:
        sampler: the configuration of what was fitted.
        classes: mean log density in nats of a class's latents; left out where there is none.
        refused: why a class has none.
        mean: over the latents of all classes; None where a class has none.
    """

    sampler: Mapping[str, object]
    classes: Mapping[str, float]
    refused: Mapping[str, str]
    mean: float | None


def held_out_likelihood(
    sampler: DensitySampler,
    latents: Tensor,
    labels: Sequence[int],
    patients: Sequence[str],
    classes: Sequence[str],
    folds: int = 5,
) -> HeldOut:
    r"""Cross-validated log likelihood of a sampler, class by class.

    Patients are dealt into folds. For each, a density a class is fitted to the latents of all other folds, and gives
    :math:`\log p(z)` of those of this one; each latent is scored once. All samplers get the same folds. In D dimensions
    the value of a class is comparable between samplers, not between classes or models.

    Args:
        sampler: unfitted; copies of it are.
        latents: (N, D).
        labels: (N,), numbers of classes, -1 for none.
        patients: (N,), whose each latent is.
        classes: their names.
        folds: how many; never more than there are patients.

    Raises:
        ConfigurationError: if there are fewer than two folds.
        DataError: if there are fewer than two patients.

    Source: Stone (1974), *Cross-validatory choice and assessment of statistical predictions*.

    Example:
        >>> from multimodal_vae import Prior
        >>> held_out_likelihood(Prior(), torch.zeros(4, 1), [0, 0, 0, 0], ["a", "b", "c", "d"], ["ill"], 2).classes
        {'ill': -0.918938...}
    """
    if folds < 2:
        raise ConfigurationError(f"folds is {folds}; it must be at least 2")
    label = torch.as_tensor(labels)
    labeled = (label >= 0).nonzero().flatten()
    latents, label = latents[labeled], label[labeled]
    owners = [patients[row] for row in labeled.tolist()]
    folds = min(folds, len(set(owners)))
    if folds < 2:
        raise DataError("samplers are compared on labeled samples of at least two patients, and there are not as many")
    scores = torch.full((len(latents),), math.nan, dtype=torch.float64)
    refused: dict[str, str] = {}
    for held in split_by_patient(owners, label.tolist(), [1 / folds] * folds, seed=0):
        out = torch.zeros(len(latents), dtype=torch.bool)
        out[torch.from_numpy(held)] = True
        prepared = sampler.prepare([latents[~out & (label == index)] for index in range(len(classes))])
        for index, name in enumerate(classes):
            of_class = label == index
            if name in refused or not bool((out & of_class).any()):
                continue
            try:
                density = DensitySampler.of(prepared).fit(latents[~out & of_class])()
            except SamplerError as error:
                refused[name] = str(error)
            else:
                scores[out & of_class] = density.log_prob(latents[out & of_class]).double().cpu()
    means = {name: float(scores[label == index].mean()) for index, name in enumerate(classes)}
    refused |= {name: "there are no latents" for index, name in enumerate(classes) if not bool((label == index).any())}
    kept = {name: mean for name, mean in means.items() if name not in refused}
    return HeldOut(sampler.configuration, kept, refused, None if refused else float(scores.mean()))
