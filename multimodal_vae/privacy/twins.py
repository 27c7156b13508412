"""Samples that are identical to a patient's, in a modality that tells patients apart."""

import hashlib
from collections.abc import Iterator

from multimodal_vae.data.dataset import MultimodalDataset


def find_twins(data: MultimodalDataset, known: MultimodalDataset) -> dict[str, list[tuple[int, str]]]:
    """Return the samples that equal one of a single known patient: row of ``data`` and the patient, by modality.

    A modality counts in which most values belong to one patient each. In others, such as a category, samples are equal
    by chance.

    Args:
        data: samples to look at.
        known: samples of the patients to look for, with the same modalities.
    """
    twins = {}
    for column, name in enumerate(known.modalities):
        owners: dict[bytes, set[str]] = {}
        for row, value in _hashes(known, column, name):
            owners.setdefault(value, set()).add(known.patients[row])
        single = {value: min(who) for value, who in owners.items() if len(who) == 1}
        if 2 * len(single) <= int(known.present[:, column].sum()):
            continue
        found = [(row, single[value]) for row, value in _hashes(data, column, name) if value in single]
        if found:
            twins[name] = found
    return twins


def _hashes(data: MultimodalDataset, column: int, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the row of each sample of a modality, and a hash of its values."""
    samples = (sample for chunk in data.samples.columns[name].chunks() for sample in chunk)
    for row, (sample, present) in enumerate(zip(samples, data.present[:, column].tolist(), strict=True)):
        if present:
            yield row, hashlib.sha256(sample.contiguous().numpy().tobytes()).digest()
