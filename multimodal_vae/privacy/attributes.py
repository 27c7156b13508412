"""Attribute inference: what can be guessed of a record from samples like it."""

import torch
from torch import Tensor

from multimodal_vae.distances import nearest


def guessed(x: Tensor, known: Tensor, attribute: Tensor, k: int = 5) -> Tensor:
    """What the k nearest known samples have most often; of equally frequent values, that of the nearest; (N,).

    Args:
        x: (N, D), records of which something is to be guessed.
        known: (M, D), samples whose attribute is known, M at least ``k``.
        attribute: (M,) of int64.
        k: how many neighbors are asked.

    Raises:
        DataError: if fewer than ``k`` samples are known.

    Example:
        >>> known = torch.tensor([[0.0], [1.0], [9.0]])
        >>> guessed(torch.tensor([[0.4], [8.0]]), known, torch.tensor([4, 4, 7]), k=1).tolist()
        [4, 7]
    """
    values, index = torch.unique(attribute, return_inverse=True)
    votes = index[nearest(x, known, k)[1]]
    # Each neighbor counts for a little more than all behind it, together less than a vote: it decides between equals.
    weight = 1 + 0.5 ** torch.arange(1, k + 1, dtype=torch.float64)
    counts = torch.zeros(len(x), len(values), dtype=torch.float64).scatter_add_(1, votes, weight.expand_as(votes))
    found: Tensor = values[counts.argmax(1)]
    return found


def risk(attack: float, control: float) -> float:
    """How much of what could be gained beyond the control an attack gains: ``(attack - control) / (1 - control)``.

    Args:
        attack: rate of success on records that were learned from.
        control: on records of other patients, of whom the generator can have told nothing.

    Source: Giomi et al., *A unified framework for quantifying privacy risk in synthetic data* (2023), equation 2.

    Example:
        >>> round(risk(0.8, 0.6), 6), risk(0.5, 1.0)
        (0.5, 0.0)
    """
    return (attack - control) / (1 - control) if control < 1 else 0.0
