"""``privacy.json``, as an audit leaves it in a run's folder; its form is read, and what else it holds passed over."""

from pathlib import Path

from typing_extensions import TypedDict

from multimodal_vae.files import read_json
from multimodal_vae.run import Run

FILE = "privacy.json"


class Finding(TypedDict):
    """One figure of an audit."""

    who: str
    space: str
    name: str
    value: float | None
    interval: tuple[float | None, float | None] | None
    real: float | None


class Verdict(TypedDict):
    """What the figures come to, in words."""

    leak: bool
    found: list[str]
    not_shown: list[str]


class Privacy(TypedDict):
    """What is read of an audit."""

    findings: list[Finding]
    verdict: Verdict


def read_privacy(run: Run) -> Privacy | None:
    """The audit of a run; None where there was none.

    Raises:
        RunError: if its file is damaged.
    """
    path: Path = run.path / FILE
    return read_json(path, Privacy) if path.is_file() else None
