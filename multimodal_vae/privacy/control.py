"""The control: the distance attack on samples that are as real as the members, and know none of those attacked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from multimodal_vae.data.split import split_by_patient
from multimodal_vae.distances import nearest


def control_attack(
    members: Tensor,
    others: Tensor,
    labels: tuple[Sequence[int], Sequence[int]],
    groups: tuple[Sequence[str], Sequence[str]],
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Score records by their distance to one half of the members, which takes the place of the generated samples.

    It scores the other half of the members and one half of the others, and vice versa. A generator of the members'
    population that remembers nobody would do the same. So the area under the curve is one half, unless the holdout is
    from another population, or one person is among the members under two names. What an attack achieves beyond its
    control is a leak; what both achieve is not.

    Args:
        members: (N, D).
        others: (M, D), records of other patients.
        labels: class of each member, and of each other record.
        groups: patient of each member, and of each other record.
        seed: seed of the halves.

    Returns:
        Scores of the members, (N,), and of the others, (M,).

    Example:
        >>> x = torch.arange(8.0)[:, None]
        >>> patients = [str(row) for row in range(8)]
        >>> scores, of_others = control_attack(x, x + 100, ([0] * 8, [0] * 8), (patients, patients))
        >>> bool(scores.min() > of_others.max())
        True
    """
    halves = [
        split_by_patient(names, of_class, (0.5, 0.5), seed) for names, of_class in zip(groups, labels, strict=True)
    ]
    scores = [torch.zeros(len(x), dtype=torch.float64) for x in (members, others)]
    for side in (0, 1):
        reference = members[halves[0][1 - side]]
        for score, x, rows in zip(scores, (members, others), (halves[0][side], halves[1][side]), strict=True):
            score[rows] = -nearest(x[rows], reference)[0][:, 0].double()
    return scores[0], scores[1]
