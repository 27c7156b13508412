"""The score of an attacker who knows how likely a record is among generated samples, and among people at large."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

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
    r"""Scores :math:`\log p_S(x) - \log p_R(x)`: where a generator is denser than people are, it has learned by heart.

    Both are kernel densities, with a bandwidth by cross-validated likelihood. The reference is one half of the others'
    patients, by which the other half, and one half of the members, are scored; and the other way round. So no record
    meets itself in the reference, and members and others are scored alike.

    Args:
        members: (N, D), records that were learned from.
        others: (M, D), records of other patients.
        synthetic: (K, D).
        member_groups: (N,), whose each is.
        other_groups: (M,).
        seed: of the halves.

    Returns:
        Scores of the members, (N,), and of the others, (M,), in nats.

    Raises:
        SamplerError: if from one of the sets no density can be learned.

    Source: van Breugel et al., *Membership inference attacks against synthetic data through overfitting detection*
        (2023), equation 2 (DOMIAS).
    """
    halves = [split_by_patient(groups, [0] * len(groups), (0.5, 0.5), seed) for groups in (member_groups, other_groups)]
    dense = _density(synthetic, seed)
    scores = [torch.zeros(len(x), dtype=torch.float64) for x in (members, others)]
    for side in (0, 1):
        usual = _density(others[halves[1][1 - side]], seed)
        for score, x, rows in zip(scores, (members, others), (halves[0][side], halves[1][side]), strict=True):
            chosen = x[rows].detach().double()
            score[rows] = dense.log_prob(chosen) - usual.log_prob(chosen)
    return scores[0], scores[1]


def _density(x: Tensor, seed: int) -> Distribution:
    # Shuffled: the folds of the cross-validation are blocks of rows, and must not be a class each.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return KDE().fit(x[order].detach().double())()  # type: ignore[no-any-return]
