"""Attribute inference: predicting an attribute of a record from its nearest known samples."""

import torch
from torch import Tensor

from multimodal_vae.distances import nearest


def guess_attribute(x: Tensor, known: Tensor, attribute: Tensor, k: int = 5) -> Tensor:
    """Return the most frequent value among the k nearest known samples, (N,); the nearest sample breaks ties.

    Args:
        x: (N, D), records whose attribute is predicted.
        known: (M, D), samples of known attribute, M at least ``k``.
        attribute: (M,) of int64.
        k: number of neighbors.

    Raises:
        DataError: if there are fewer than ``k`` known samples.

    Example:
        >>> known = torch.tensor([[0.0], [1.0], [9.0]])
        >>> guess_attribute(torch.tensor([[0.4], [8.0]]), known, torch.tensor([4, 4, 7]), k=1).tolist()
        [4, 7]
    """
    values, index = torch.unique(attribute, return_inverse=True)
    votes = index[nearest(x, known, k)[1]]
    # Weights decrease with rank and differ by less than a vote in total, so that they decide only between ties.
    weight = 1 + 0.5 ** torch.arange(1, k + 1, dtype=torch.float64)
    counts = torch.zeros(len(x), len(values), dtype=torch.float64).scatter_add_(1, votes, weight.expand_as(votes))
    guesses: Tensor = values[counts.argmax(1)]
    return guesses


def risk(attack: float, control: float) -> float:
    """Return the share of the possible gain over the control that an attack achieves.

    It is ``(attack - control) / (1 - control)``.

    Args:
        attack: success rate on training records.
        control: success rate on records of other patients.

    Source: Giomi et al., *A unified framework for quantifying privacy risk in synthetic data* (2023), equation 2.

    Example:
        >>> round(risk(0.8, 0.6), 6), risk(0.5, 1.0)
        (0.5, 0.0)
    """
    return (attack - control) / (1 - control) if control < 1 else 0.0
