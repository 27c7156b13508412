"""The steps of the study, and what their command lines share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cohort
import multimodal_vae as mv

STEPS: Mapping[str, str] = {
    "calibration": "Compare simulated cohorts with published measurements of real ears.",
    "contact_sheet": "Draw ears of a simulated cohort on one sheet.",
    "judges": "Train the judges of generated ears, and measure them on other ears.",
    "reproduce": "Draw a cohort, train judges and recipes, measure them, and write the tables of README.md.",
    "measure": "Measure trained runs on held-out ears.",
    "sanity": "Check that the metrics notice real ears that were spoiled in known ways.",
    "lengths": "Train recipes for shorter and longer times, and write LENGTHS.md.",
    "ablations": "Change one setting of a recipe at a time, and write ABLATIONS.md.",
    "adapt": "Adapt a run to another clinic with differential privacy, and write ADAPT.md.",
    "private_density": "Compare private densities of a cohort with others, and print a table.",
    "audits": "Audit the privacy of the recipes, and write PRIVACY.md.",
    "frontier": "Measure privacy against fidelity for several densities, and write FRONTIER.md.",
    "sharp": "Measure what a refiner changes, in runs of several cohorts.",
    "frames": "Refine images of real ears, in five folds of a folder of frames.",
    "canaries": "Plant outliers among patients, look for them in generated pairs, and write CANARIES.md.",
}
"""Name of each step, which is its module, and what it does; in the order in which they build on one another."""


def step_parser(step: str, example: str = "") -> argparse.ArgumentParser:
    """Return the command line of a step, without options."""
    epilog = f"Example: python examples/otitis/study {step} {example}"
    return argparse.ArgumentParser(prog=f"study {step}", description=STEPS[step], epilog=epilog)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the options of the steps that train and measure."""
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of cohorts and runs")
    parser.add_argument("--judges", type=Path, default=Path("runs/judges"), help="folder of the judges")
    parser.add_argument("--jobs", type=int, default=2, help="concurrent trainings and drawing processes (default 2)")


def write_cohort(folder: Path, seed: int, workers: int = 2) -> Path:
    """Draw the simulated cohort of a seed into a folder, unless it is there, and return its manifest.

    Raises:
        RunError: if the folder holds something else.
    """
    if cohort.main([str(folder), "--seed", str(seed), "--workers", str(workers)]):
        raise mv.RunError(f"the cohort {folder} could not be drawn; the line above says why")
    return folder / "manifest.csv"
