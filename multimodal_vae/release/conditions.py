"""What samples must fulfil to be released: no attack on them beyond a threshold, and no copy of a patient's sample."""

from pathlib import Path

from multimodal_vae.errors import ConfigurationError, RunError, listing
from multimodal_vae.privacy.audit import Audit
from multimodal_vae.privacy.result import PrivacyResult, highest
from multimodal_vae.privacy.run_records import read_generated
from multimodal_vae.privacy.twins import find_twins
from multimodal_vae.privacy.verdict import NEED_MODEL, attacks_of
from multimodal_vae.run import Run
from multimodal_vae.synthesis.marks import TABLE

THRESHOLD = 0.6
"""Default of the largest upper end of the interval of the strongest attack's area under the curve."""


def require_threshold(threshold: float) -> None:
    """Raise ConfigurationError unless a threshold is above chance and at most certainty."""
    if not 0.5 < threshold <= 1:
        raise ConfigurationError(f"the threshold is {threshold:g}; give a number above 0.5, which is chance, up to 1")


def strongest_attack(audit: Audit) -> PrivacyResult:
    """Return the attack with the largest area under the curve, without those that need the model."""
    return highest([each for each in attacks_of(audit.results, "membership/") if each.space not in NEED_MODEL])


def require_no_copies(run: Run, folder: Path) -> None:
    """Refuse samples of which one is identical to a patient's, in some modality that tells patients apart.

    Unlike the audit, this looks at all patients of the run, those included whom the model did not learn from.

    Raises:
        RunError: naming samples and modalities, with what to do about it.
    """
    new = read_generated(run, folder / TABLE)
    copies = [f"{new.ids[row]} ({name})" for name, twins in find_twins(new, run.data).items() for row, _ in twins]
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
