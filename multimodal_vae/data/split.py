"""Splitting samples so that no patient is on two sides, and every class is shared out alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError


def split_by_patient(
    patients: Sequence[str], labels: Sequence[int], fractions: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Share out whole patients among parts.

    Patients are dealt in random order, those with most samples first, each to the part that is then farthest below
    its share, counted class by class relative to the class's size, so that rare classes weigh as much as common ones.

    Args:
        patients: (N,), whose each sample is.
        labels: (N,), the class of each sample.
        fractions: share of each part, summing to one; a part of zero stays empty.
        seed: of the order.

    Returns:
        The rows of each part, ascending.

    Raises:
        DataError: if the fractions are no shares.

    Example:
        >>> [rows.tolist() for rows in split_by_patient(["a", "a", "b", "c"], [0, 0, 0, 0], [0.5, 0.5], seed=0)]
        [[0, 1], [2, 3]]
    """
    share = np.asarray(fractions, dtype=float)
    if not ((share >= 0).all() and abs(share.sum() - 1) <= 1e-6):  # so that NaN does not pass
        raise DataError(f"the shares of a split are {list(fractions)}; they must be positive and sum to 1")
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (patient, label), 1)
    relative = counts / counts.sum(0)  # what of each class a patient holds

    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    held = np.zeros((len(share), len(classes)))
    part_of = np.zeros(len(names), dtype=np.int64)
    usable = np.flatnonzero(share > 0)
    for who in order:
        # The deal that leaves the least squared distance to the wanted shares. The change each part makes to it:
        missing = share[usable, None] - held[usable]
        change = ((missing - relative[who]) ** 2 - missing**2).sum(1)
        # Relative to the share: a small part must not be filled only when nothing else is left.
        chosen = usable[int(np.argmin(change / share[usable]))]
        held[chosen] += relative[who]
        part_of[who] = chosen
    return [np.flatnonzero(part_of[patient] == part).astype(np.int64) for part in range(len(share))]
