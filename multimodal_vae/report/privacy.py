"""Read ``privacy.json``, which an audit writes into the folder of a run."""

from typing_extensions import TypedDict

from multimodal_vae.files import read_json
from multimodal_vae.privacy.verdict import Verdict
from multimodal_vae.report.metrics import MetricRecord
from multimodal_vae.run import Run

FILE = "privacy.json"


class PrivacyRecord(MetricRecord):
    """A :class:`~multimodal_vae.privacy.result.PrivacyResult`; values that are not finite are None."""

    who: str
    space: str


class Privacy(TypedDict):
    """The part of ``privacy.json`` that a report shows; other keys are ignored."""

    findings: list[PrivacyRecord]
    verdict: Verdict


def read_privacy(run: Run) -> Privacy | None:
    """Return the audit of a run, or None if there is none.

    Raises:
        RunError: if its file is damaged.
    """
    path = run.path / FILE
    return read_json(path, Privacy) if path.is_file() else None
