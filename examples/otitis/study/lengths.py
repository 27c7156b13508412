"""Train recipes for shorter and longer than their ten minutes.

Run: ``python examples/otitis/study lengths --seed 10``, after ``reproduce``, whose cohort, judges and trainings it
uses. Trainings and measurements that are done are skipped. The table is written to ``LENGTHS.md`` beside this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from judges import Judges
from measure import Measured, measure_run
from screen import EXPLANATION, head, row
from steps import add_folders, step_parser
from trainings import RECIPES, changed_recipe, train_all

PAGE = Path(__file__).with_name("LENGTHS.md")
EPOCHS: Mapping[str, Sequence[int]] = {"best": (27, 68, 135, 810), "paper-small": (25, 75, 225)}
"""Epochs by recipe; each length is a separate training, because the learning rate of ``best`` follows a cosine."""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, measure, and write the page."""
    parser = step_parser("lengths", "--seed 10")
    add_folders(parser)
    parser.add_argument("--seed", type=int, default=10, help="seed of the cohort (default 10)")
    given = parser.parse_args(arguments)
    lengths(given.seed, given.out, given.judges, given.jobs)


def lengths(seed: int, out: Path, judges_folder: Path, jobs: int) -> None:
    """Train and measure all lengths, and write the page."""
    folder = out / f"seed{seed}"
    manifest = folder / "cohort/manifest.csv"
    runs = {(recipe, epochs): run_folder(folder, recipe, epochs) for recipe in EPOCHS for epochs in EPOCHS[recipe]}
    longest_first = sorted(runs, key=lambda key: -key[1])
    train_all(
        {
            runs[recipe, epochs]: changed_recipe(RECIPES / f"{recipe}.toml", manifest, {"training.epochs": epochs})
            for recipe, epochs in longest_first
        },
        jobs,
    )
    judges = Judges.load(judges_folder)
    measured = {key: measure_run(f"{run}:train", judges, judges_folder) for key, run in runs.items()}
    PAGE.write_text(page(measured, seed), "utf-8")
    Console(stderr=True).print(f"{PAGE}: {len(measured)} trainings")


def run_folder(folder: Path, recipe: str, epochs: int) -> Path:
    """Return the folder of a run; for the recipe's own length it is that of ``reproduce``."""
    return folder / recipe if epochs == own_epochs(recipe) else folder / f"lengths/{recipe}-{epochs}"


def own_epochs(recipe: str) -> int:
    """Return the epochs in a recipe's file, which take ten minutes of one core."""
    epochs: int = tomllib.loads((RECIPES / f"{recipe}.toml").read_text("utf-8"))["training"]["epochs"]
    return epochs


def page(measured: Mapping[tuple[str, int], Measured], seed: int) -> str:
    """Return the page with the table."""
    rows = [
        row([recipe, str(epochs), f"{10 * epochs / own_epochs(recipe):.0f}"], [each])
        for (recipe, epochs), each in measured.items()
    ]
    ten = ", ".join(f"{own_epochs(recipe)} of `{recipe}`" for recipe in EPOCHS)
    lines = [
        "# Longer training",
        "",
        f"Written by `lengths.py`. Simulated cohort of seed {seed}, one training per row, so that differences of a few",
        "hundredths are ties. All densities are fitted on training patients. Minutes are those of one core, in",
        f"proportion to the epochs; ten minutes are {ten}.",
        "",
        *EXPLANATION,
        "",
        *head("recipe", "epochs", "minutes"),
        *rows,
        "",
    ]
    return "\n".join(lines)
