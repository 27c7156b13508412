"""Splitting samples by patient: stratified by class, or each patient independently of all others."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked
from multimodal_vae.errors import DataError


@checked
def split_by_patient(
    patients: Sequence[str], labels: Sequence[int], fractions: Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Split rows into parts such that each patient is in one part.

    Patients are assigned in random order, those with the most samples first, each to the part that is farthest below
    its share. Shares are counted per class relative to the class's size, so that rare classes weigh as much as common
    ones.

    Args:
        patients: (N,), the patient of each sample.
        labels: (N,), the class of each sample.
        fractions: the share of each part; they sum to 1, and a part of share 0 stays empty.
        seed: seed of the random order.

    Returns:
        The rows of each part, ascending.

    Raises:
        DataError: if a fraction is negative, or they do not sum to 1.

    Example:
        >>> [rows.tolist() for rows in split_by_patient(["a", "a", "b", "c"], [0, 0, 0, 0], [0.5, 0.5], seed=0)]
        [[0, 1], [2, 3]]
    """
    if len(patients) != len(labels):
        raise DataError(f"there are {len(patients)} patients and {len(labels)} labels; give one of each per sample")
    share = np.asarray(fractions, dtype=float)
    if not ((share >= 0).all() and abs(share.sum() - 1) <= 1e-6):  # NaN fails this comparison
        raise DataError(f"the fractions of a split are {list(fractions)}; they must not be negative and must sum to 1")
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (patient, label), 1)
    order = np.random.default_rng(require_seed(seed)).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    part_of = np.zeros(len(names), dtype=np.int64)
    part_of[order] = _assign((counts / counts.sum(0))[order], share)
    return [np.flatnonzero(part_of[patient] == part).astype(np.int64) for part in range(len(share))]


def _assign(held: NDArray[np.float64], share: NDArray[np.float64]) -> list[int]:
    """Return the part of each patient, in their order.

    Args:
        held: (patients, classes), share of each class that a patient holds.
        share: (parts,), share of each part.
    """
    usable, shares, parts = np.flatnonzero(share > 0).tolist(), share.tolist(), list[int]()
    assigned = np.zeros((len(share), held.shape[1])).tolist()
    several = (np.count_nonzero(held, 1) > 1).tolist()
    if not len(held):
        return []
    kinds, amounts = held.argmax(1).tolist(), held.max(1).tolist()
    for row, (kind, amount) in enumerate(zip(kinds, amounts, strict=True)):
        # How the squared distance to the target shares changes if a part gets this patient, relative to the part's
        # share; otherwise a small part would be filled last.
        if several[row]:
            missing = share[usable, None] - np.array([assigned[part] for part in usable])
            change = ((missing - held[row]) ** 2 - missing**2).sum(1) / share[usable]
            part = usable[int(np.argmin(change))]
            assigned[part] = (assigned[part] + held[row]).tolist()
        else:  # the same of one class, in a tenth of the time
            changes = []
            for each in usable:
                gap = shares[each] - assigned[each][kind]
                changes.append(((gap - amount) * (gap - amount) - gap * gap) / shares[each])
            part = usable[changes.index(min(changes))]
            assigned[part][kind] += amount
        parts.append(part)
    return parts


@checked
def split_independently(patients: Sequence[str], fractions: Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Split rows into parts by a hash of each patient's name, so that no patient affects the part of another.

    A differentially private result needs this: with :func:`split_by_patient`, one patient more or less may change the
    parts of many. The shares hold on average only.

    Args:
        patients: (N,), the patient of each sample.
        fractions: the expected share of each part; they sum to 1.
        seed: seed of the hash.

    Returns:
        The rows of each part, ascending.

    Example:
        >>> [rows.tolist() for rows in split_independently(["a", "a", "b", "c"], [0.5, 0.5], seed=5)]
        [[0, 1], [2, 3]]
    """
    ends, seed = np.cumsum(fractions)[:-1], require_seed(seed)
    hashes = {each: hashlib.sha256(f"{seed} {each}".encode()).digest() for each in set(patients)}
    points = [int.from_bytes(hashes[each][:8], "big") / 2**64 for each in patients]
    part = np.searchsorted(ends, points, side="right")
    return [np.flatnonzero(part == number).astype(np.int64) for number in range(len(fractions))]
