"""What ``mmvae evaluate`` and ``mmvae card`` leave in a run's folder."""

from collections.abc import Sequence
from pathlib import Path

from multimodal_vae.files import write_bytes, write_json
from multimodal_vae.report import card
from multimodal_vae.report.measuring import measure
from multimodal_vae.report.metrics import FILE as METRICS
from multimodal_vae.report.metrics import read_metrics
from multimodal_vae.report.page import report_page
from multimodal_vae.report.privacy import read_privacy
from multimodal_vae.run import Run

REPORT = "report.html"


def write_evaluation(
    run: Run,
    by: Sequence[str] = (),
    count: int = 300,
    split: str = "test",
    judges: Path | None = None,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Measure a run, and write ``metrics.json`` and ``report.html`` into its folder.

    Args:
        run: opened.
        by: columns of the manifest to measure subgroups of.
        count: new samples of each class.
        split: the samples to hold the new ones against.
        judges: folder of the judges; ``judges`` in the run's folder where it is None.
        seed: of what is drawn.

    Returns:
        The places of both.
    """
    privacy = read_privacy(run)  # before the measuring, which takes long
    metrics, evidence = measure(run, by, count, split, judges, seed)
    write_json(run.path / METRICS, metrics)
    write_bytes(run.path / REPORT, report_page(run, metrics, evidence, privacy).encode())
    return run.path / METRICS, run.path / REPORT


def write_card(run: Run) -> Path:
    """Write ``card.md`` into a run's folder, out of its ``metrics.json``, and return its place.

    Raises:
        RunError: if the run has not been evaluated.
    """
    place = run.path / card.FILE
    write_bytes(place, card.model_card(read_metrics(run.path / METRICS), read_privacy(run)).encode())
    return place
