"""What samples must fulfil to be released: no attack on them beyond a threshold, and no copy of a patient's sample."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, RunError, listing
from multimodal_vae.privacy.audit import MODEL, Audit
from multimodal_vae.privacy.result import PrivacyResult, highest
from multimodal_vae.privacy.verdict import attacks_of
from multimodal_vae.run import Run
from multimodal_vae.synthesis.marks import TABLE

THRESHOLD = 0.6
"""Default of the largest upper end of the interval of the strongest attack's area under the curve."""


def require_threshold(threshold: float) -> None:
    """Raise ConfigurationError unless a threshold is above chance and at most certainty."""
    if not 0.5 < threshold <= 1:
        raise ConfigurationError(f"the threshold is {threshold:g}; give a number above 0.5, which is chance, up to 1")


def strongest_attack(audit: Audit) -> PrivacyResult:
    """Return the attack on the samples with the largest area under the curve; attacks on the model do not count."""
    return highest([each for each in attacks_of(audit.results, "membership/") if each.space != MODEL])


def require_no_copies(run: Run, folder: Path) -> None:
    """Refuse samples of which one is a copy of a patient's, in some modality.

    Raises:
        RunError: naming samples and modalities, with what to do about it.
    """
    copies = find_copies(run, folder)
    if copies:
        raise RunError(
            f"nothing is released: copies of patients' samples are among the new ones, {len(copies)} in all: "
            f"{listing(copies, most=3)}; use another density, such as --sampler gaussian"
        )


def require_private(audit: Audit, threshold: float, path: Path) -> None:
    """Refuse samples by which an attack recognizes patients.

    Args:
        audit: audit of the samples.
        threshold: largest upper end of the interval of the strongest attack's area under the curve.
        path: file of the audit, for the message.

    Raises:
        RunError: with what to do about it.
    """
    attack = strongest_attack(audit)
    low, high = attack.interval or (0.0, 1.0)
    if high > threshold:
        advice = "use another density (--sampler), or release fewer samples (--count)"
        if attack.value <= threshold:
            advice = f"give more unseen patients (--holdout), which narrows the interval, or {advice}"
        reached = f"{attack.value:.2f} ({low:.2f} to {high:.2f})"
        raise RunError(
            f"nothing is released: the attack by {attack.name.partition('/')[2]} in {attack.space} has an area under "
            f"the curve of {reached}, whose upper end exceeds {threshold:g}; {advice}. All attacks are in {path}"
        )


def find_copies(run: Run, folder: Path) -> list[str]:
    """Return the samples that are exact copies, in some modality, of a sample of any patient of a run.

    A modality counts in which no two patients of the run have equal samples: in others, such as a category, samples are
    equal by chance. Unlike the audit, this covers patients whom the model did not learn from.

    Args:
        run: the run.
        folder: generated samples.

    Returns:
        Names of samples with their modality, such as ``AOM-012 (otoscopy)``.
    """
    settings = run.configuration.with_manifest(folder / TABLE, run.model.classes)
    new = settings.with_data(cache=False, unreadable="refuse").read_data()
    copies = list[str]()
    for column, name in enumerate(run.model.modalities):
        owners = dict[bytes, str]()
        shared = False
        for row, sample in _rows(run.data, column, name):
            patient = run.data.patients[row]
            shared = shared or owners.setdefault(sample, patient) != patient
        if not shared:
            copies += [f"{new.ids[row]} ({name})" for row, sample in _rows(new, column, name) if sample in owners]
    return copies


def _rows(data: MultimodalDataset, column: int, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the row and a hash of each sample of a modality."""
    for rows in torch.split(data.present[:, column].nonzero()[:, 0], 256):
        samples: Tensor = data.batch(rows).samples[name]
        for row, sample in zip(rows.tolist(), samples, strict=True):
            yield row, hashlib.sha256(sample.numpy().tobytes()).digest()
