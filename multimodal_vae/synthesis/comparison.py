"""Comparison of samplers by the likelihood of the latents of held-out patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.checks import checked, require_whole
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.samplers.trial import Cohort, try_sampler, two_sample
from multimodal_vae.scopes import seeded


@dataclass(frozen=True)
class HeldOutLikelihood:
    """Likelihood of latents under densities that were fitted without their patients.

    Attributes:
        sampler: configuration of the sampler.
        classes: mean log density of the latents by class, in nats; higher is better.
        failures: reason by class that has no value.
        mean: mean over the latents of all classes; None if a class has no value.
        two_sample: AUC of :func:`~multimodal_vae.samplers.trial.two_sample`, which tells draws from held-out latents;
            lower is better, .5 is chance; None likewise.
        membership: AUC of an attack that tells fitted from held-out latents by the draws, as ``auto`` measures it;
            lower is better, .5 is chance; None likewise.
    """

    sampler: Mapping[str, object]
    classes: Mapping[str, float]
    failures: Mapping[str, str]
    mean: float | None
    two_sample: float | None = None
    membership: float | None = None


@checked
def held_out_likelihood(
    sampler: DensitySampler,
    latents: Tensor,
    labels: Sequence[int],
    patients: Sequence[str],
    classes: Sequence[str],
    folds: int = 5,
) -> HeldOutLikelihood:
    r"""Return the cross-validated log likelihood of a sampler by class, and two AUCs of its draws.

    Patients are divided into folds. For each fold, one density per class is fitted to the latents of all other folds
    and scores :math:`\log p(z)` on this one, so that each latent is scored once. All samplers get the same folds. The
    value of a class is comparable between samplers, not between classes or models.

    Args:
        sampler: unfitted sampler; it is copied.
        latents: (N, D).
        labels: (N,), indices into ``classes``, -1 for unlabeled latents, which are left out.
        patients: (N,), patient of each latent.
        classes: names of the classes.
        folds: number of folds, at most one per patient.

    Raises:
        ConfigurationError: if there are fewer than two folds.
        DataError: if there are fewer than two patients.

    Source: Stone (1974), *Cross-validatory choice and assessment of statistical predictions*.

    Example:
        >>> from multimodal_vae import Prior
        >>> held_out_likelihood(Prior(), torch.zeros(4, 1), [0, 0, 0, 0], ["a", "b", "c", "d"], ["ill"], 2).classes
        {'ill': -0.918938...}
    """
    require_whole("folds", folds, 2)
    label = torch.as_tensor(labels, dtype=torch.int64)
    if not len(latents) == len(label) == len(patients) or (len(label) and int(label.max()) >= len(classes)):
        raise DataError(
            f"{len(latents)} latents need as many labels, below {len(classes)}, and patients; there are {len(label)} "
            f"and {len(patients)}"
        )
    labeled = (label >= 0).nonzero().flatten()
    latents, label = latents[labeled], label[labeled]
    owners = [patients[row] for row in labeled.tolist()]
    folds = min(folds, len(set(owners)))
    if folds < 2:
        raise DataError("samplers are compared on the labeled samples of at least 2 patients; there are fewer")
    fold = torch.zeros(len(latents), dtype=torch.int64)
    for number, rows in enumerate(split_by_patient(owners, label.tolist(), [1 / folds] * folds, seed=0)):
        fold[torch.from_numpy(rows)] = number
    cohort = Cohort(latents, label, owners, fold)
    with seeded(0):
        trial = try_sampler(sampler, cohort)
    scores = trial.log_density
    failures = {classes[index]: reason for index, reason in trial.failures.items()}
    for index, name in enumerate(classes):
        if name not in failures and not bool(scores[label == index].isfinite().all()):
            failures[name] = "the log density of a held-out latent is not finite"
    means = {name: float(scores[label == index].mean()) for index, name in enumerate(classes)}
    failures |= {name: "it has no latents" for index, name in enumerate(classes) if not bool((label == index).any())}
    means = {name: mean for name, mean in means.items() if name not in failures}
    return HeldOutLikelihood(
        sampler.configuration,
        means,
        failures,
        None if failures else float(scores.mean()),
        None if failures else two_sample(cohort, trial.draws)[0],
        None if failures else trial.membership,
    )
