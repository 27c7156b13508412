"""Density ratio attack: how likely a record is among generated samples compared with other patients."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.bounds import require_seed
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.samplers.kde import KDE


def density_ratio(
    members: Tensor,
    others: Tensor,
    synthetic: Tensor,
    member_groups: Sequence[str],
    other_groups: Sequence[str],
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    r"""Return the scores :math:`\log p_S(x) - \log p_R(x)`, high where the generator memorizes.

    Both are kernel densities with a bandwidth by cross-validated likelihood. The reference R is one half of the other
    patients; it scores the other half and one half of the members, and vice versa. So no record is part of its own
    reference, and members and others are scored alike.

    Args:
        members: (N, D), training records.
        others: (M, D), records of other patients.
        synthetic: (K, D).
        member_groups: (N,), patient of each member.
        other_groups: (M,), patient of each other record.
        seed: seed of the halves.

    Returns:
        Scores of the members, (N,), and of the others, (M,), in nats.

    Raises:
        SamplerError: if no density can be fitted to one of the sets.

    Source: van Breugel et al., *Membership inference attacks against synthetic data through overfitting detection*
        (2023), equation 2 (DOMIAS).
    """
    halves = [split_by_patient(groups, [0] * len(groups), (0.5, 0.5), seed) for groups in (member_groups, other_groups)]
    density = _density(synthetic, seed)
    scores = [torch.zeros(len(x), dtype=torch.float64) for x in (members, others)]
    for side in (0, 1):
        reference = _density(others[halves[1][1 - side]], seed)
        for score, x, rows in zip(scores, (members, others), (halves[0][side], halves[1][side]), strict=True):
            chosen = x[rows].detach().double()
            score[rows] = density.log_prob(chosen) - reference.log_prob(chosen)
    return scores[0], scores[1]


def _density(x: Tensor, seed: int) -> Distribution:
    # Shuffled, since the folds of the cross-validation are blocks of rows and must not be single classes.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(require_seed(seed)))
    return KDE().fit(x[order].detach().double())()  # type: ignore[no-any-return]
