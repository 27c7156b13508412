"""Audit what the recipes reveal about their patients, and compare them in one table.

Run: ``python examples/otitis/study audits --seed 10``, after ``reproduce``. The holdout patients are a cohort of
another seed. The table is written to ``PRIVACY.md`` beside this file, and all metrics to each run's folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

import multimodal_vae as mv
from measure import OTHER_SEEDS
from multimodal_vae.privacy.audit import Audit
from multimodal_vae.privacy.run_audit import audit_run
from steps import step_parser, write_cohort

PAGE = Path(__file__).with_name("PRIVACY.md")
AUDITED = {"clean": ("paper-small", "train"), "paper-small": ("paper-small", "test"), "best": ("best", "train")}
"""Run and split of the densities by recipe; a run's own split comes last, so that its audit stays in the folder."""
WHOSE = {"train": "model trained on", "fitted on": "densities fitted on"}
LEFT_OUT = ("membership/blind", "recognized/blind", "membership/control", "recognized/control", "copies/near")
"""Metrics that the table leaves out."""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, audit, and write the page."""
    parser = step_parser("audits", "--seed 10")
    parser.add_argument("--seed", type=int, default=10, help="seed of the cohort (default 10)")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of reproduce")
    given = parser.parse_args(arguments)
    audits(given.seed, given.out)


def audits(seed: int, out: Path) -> None:
    """Audit all recipes, and write the page."""
    console = Console(stderr=True)
    folder = out / f"seed{seed}"
    holdout = holdout_manifest(folder / "others", seed + OTHER_SEEDS)
    results = {}
    for name, (run, fit_on) in AUDITED.items():
        console.print(f"audit of {name}")
        results[name], _ = audit_run(mv.open_run(folder / run), None, fit_on, holdout)
    PAGE.write_text(page(results, seed), "utf-8")
    console.print(f"{PAGE}")


def holdout_manifest(folder: Path, seed: int) -> Path:
    """Draw a cohort, and return a manifest of it whose patient names are unique to it."""
    manifest = write_cohort(folder, seed)
    renamed = folder / "others.csv"
    renamed.write_text(with_prefix(manifest.read_text("utf-8"), f"{seed}-"), "utf-8")
    return renamed


def with_prefix(manifest: str, prefix: str) -> str:
    """Return a manifest with a prefix before each patient's name."""
    rows = list(csv.DictReader(io.StringIO(manifest)))
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows({**row, "patient_id": prefix + row["patient_id"]} for row in rows)
    return text.getvalue()


def page(results: Mapping[str, Audit], seed: int) -> str:
    """Return the page with the table and each verdict."""
    lines = [
        "# What the recipes reveal about patients",
        "",
        f"Written by `audits.py`. Simulated cohort of seed {seed}, one training each; the holdout is the cohort of",
        f"seed {seed + OTHER_SEEDS}. [The reference](../../../docs/reference/privacy.md) describes each metric.",
        "Parentheses hold the interval, by bootstrap over patients. *Usual* is the value of a generator that reveals",
        "nothing; where it differs between recipes, it follows after a slash. Metrics of single modalities are in each",
        "run's `privacy.json`.",
        "",
        f"| patients | space | metric | usual | {' | '.join(results)} |",
        "|---" * (4 + len(results)) + "|",
    ]
    keys = {(each.who, each.space, each.name): None for audit in results.values() for each in audit.results}
    for who, space, measure in sorted(keys, key=lambda key: (key[0] != "train", list(keys).index(key))):
        if "/" in space or measure in LEFT_OUT:
            continue
        cells = [_cell(audit, who, space, measure) for audit in results.values()]
        usual = {usual for _, usual in cells if usual}
        common = usual.pop() if len(usual) == 1 else ""
        values = [value if common or not own else f"{value} / {own}" for value, own in cells]
        lines.append(f"| {WHOSE[who]} | {space} | {measure} | {common} | {' | '.join(values)} |")
    for name, audit in results.items():
        lines += ["", f"## {name}", "", *(f"- {sentence}" for sentence in audit.verdict.conclusions)]
    return "\n".join(lines) + "\n"


def _cell(audit: Audit, who: str, space: str, measure: str) -> tuple[str, str]:
    for each in audit.results:
        if (each.who, each.space, each.name) == (who, space, measure):
            interval = " ({:.2f} to {:.2f})".format(*each.interval) if each.interval else ""
            return f"{each.value:.2f}{interval}", "" if each.real is None else f"{each.real:.2f}"
    return "", ""
