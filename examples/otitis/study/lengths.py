"""Recipes trained for longer and for less long than the ten minutes they are made for, and a table of what came out.

Run: ``python examples/otitis/study lengths --seed 10``. Cohort and judges are those of ``reproduce``, and so is what it
trained. What is there is not done again. The table goes to ``LENGTHS.md`` beside this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from judges import Judges
from measure import Measured, measure_run
from screen import EXPLAINED, head, row
from steps import add_folders, step_parser
from trainings import RECIPES, changed, train_all

PAGE = Path(__file__).with_name("LENGTHS.md")
EPOCHS: Mapping[str, Sequence[int]] = {"best": (27, 68, 135, 810), "paper-small": (25, 75, 225)}
"""Lengths of each recipe. `best` lowers its rate along a cosine, so that each length is a training of its own."""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, measure, and write the page."""
    parser = step_parser("lengths", "--seed 10")
    add_folders(parser)
    parser.add_argument("--seed", type=int, default=10, help="the cohort (default 10)")
    given = parser.parse_args(arguments)
    lengths(given.seed, given.out, given.judges, given.jobs)


def lengths(seed: int, out: Path, judges_folder: Path, jobs: int) -> None:
    """Train and measure all, and write the page."""
    folder = out / f"seed{seed}"
    manifest = folder / "cohort/manifest.csv"
    runs = {(recipe, epochs): place(folder, recipe, epochs) for recipe in EPOCHS for epochs in EPOCHS[recipe]}
    longest_first = sorted(runs, key=lambda key: -key[1])
    train_all(
        {
            runs[recipe, epochs]: changed(RECIPES / f"{recipe}.toml", manifest, {"training.epochs": epochs})
            for recipe, epochs in longest_first
        },
        jobs,
    )
    judges = Judges.load(judges_folder)
    measured = {key: measure_run(f"{run}:train", judges, judges_folder) for key, run in runs.items()}
    PAGE.write_text(page(measured, seed), "utf-8")
    Console(stderr=True).print(f"{PAGE}: {len(measured)} trainings")


def place(folder: Path, recipe: str, epochs: int) -> Path:
    """The run's folder: that of reproduce.py for the recipe's own length."""
    return folder / recipe if epochs == own_epochs(recipe) else folder / f"lengths/{recipe}-{epochs}"


def own_epochs(recipe: str) -> int:
    """The length that a recipe names, which is that of ten minutes of one core."""
    epochs: int = tomllib.loads((RECIPES / f"{recipe}.toml").read_text("utf-8"))["training"]["epochs"]
    return epochs


def page(measured: Mapping[tuple[str, int], Measured], seed: int) -> str:
    """The page with the table."""
    rows = [
        row([recipe, str(epochs), f"{10 * epochs / own_epochs(recipe):.0f}"], [each])
        for (recipe, epochs), each in measured.items()
    ]
    ten = ", ".join(f"{own_epochs(recipe)} of `{recipe}`" for recipe in EPOCHS)
    lines = [
        "# What longer training brings",
        "",
        f"Written by `lengths.py`; the (simulated) cohort of seed {seed}, one training a row, so that a difference of",
        "a few hundredths is none. Densities are those of training patients throughout. Minutes are those of one core,",
        f"in proportion to the epochs; ten hold {ten}.",
        "",
        *EXPLAINED,
        "",
        *head("recipe", "epochs", "minutes"),
        *rows,
        "",
    ]
    return "\n".join(lines)
