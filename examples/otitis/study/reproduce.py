"""Draw a cohort, train judges and recipes, measure them, and write the tables of README.md.

Run: ``python examples/otitis/study reproduce --seed 10``. Stages that are done are skipped, and an interrupted training
resumes. The tables hold every seed that was measured with the same judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import multimodal_vae as mv
from ears import CLASSES
from figures import gallery_figure, pairs_figure
from judges import load_or_train
from measure import Measured, comparison, cost_table, generate_pairs, measure_runs, run_and_split
from steps import add_folders, step_parser, write_cohort
from trainings import RECIPES, changed_recipe, train_all

TRAINED = ("paper-small", "best")
"""Recipes to train."""
OTHER_DENSITIES = ("paper-small:train",)
"""Other densities of the same weights; those of paper-small fitted on training patients are those of clean.toml."""
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- begin: written by the step reproduce -->", "<!-- end: written by the step reproduce -->"
METRICS = (
    "purity",
    "fidelity/precision",
    "fidelity/recall",
    "fidelity/coverage",
    "fidelity/kernel distance",
    "coherence/class/otoscopy+wbt",
    "coherence/within class/otoscopy+wbt",
    "coherence/cause pressure/otoscopy+wbt",
    "coherence/cause fill/otoscopy+wbt",
    "utility/synthetic alone",
    "utility/real and synthetic",
    "utility/a quarter and synthetic",
    "copying/closest record",
    "individuality/otoscopy",
    "individuality/wbt",
    "latent/separability",
    "drum/sharpness/0.05-0.1",
    "drum/sharpness/0.1-0.2",
    "drum/reproduced/0.05-0.1",
    "drum/reproduced/0.1-0.2",
    "landmark/malleus in NOE",
    "landmark/level in OME",
    "landmark/vessels in AOM",
    "class mean/wbt/NOE",
    "class mean/wbt/OME",
    "class mean/wbt/AOM",
)
"""Metrics of the table; ``metrics.json`` has all of them."""


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and reproduce the study."""
    parser = step_parser("reproduce", "--seed 10")
    add_folders(parser)
    parser.add_argument("--seed", type=int, default=10, help="seed of the cohort, below 500 (default 10)")
    given = parser.parse_args(arguments)
    reproduce(given.seed, given.out, given.judges, given.jobs)


def reproduce(seed: int, out: Path, judges_folder: Path, jobs: int) -> None:
    """Draw, train and measure for one seed, and write the tables of all seeds."""
    console = Console(stderr=True)
    folder = out / f"seed{seed}"

    console.rule("cohort (simulated)")
    manifest = write_cohort(folder / "cohort", seed, jobs)

    console.rule("judges")
    judges = load_or_train(judges_folder, jobs)

    console.rule(f"training, with output in {folder}/RECIPE.log")
    recipes = [RECIPES / f"{name}.toml" for name in TRAINED]
    train_all({folder / recipe.stem: changed_recipe(recipe, manifest, {}) for recipe in recipes}, jobs)

    console.rule("measuring")
    names = [str(folder / recipe.stem) for recipe in recipes] + [str(folder / name) for name in OTHER_DENSITIES]
    measure_runs(names, judges, judges_folder, folder / "metrics.json", workers=jobs)
    draw_figures(names, folder / "figures")
    console.print(f"figures: {folder / 'figures'}")

    measured = all_measured(out, judges.sha256)
    README.write_text(with_tables(README.read_text("utf-8"), measured), "utf-8")
    console.print(f"tables of {len(measured)} measured runs: {README}")


def draw_figures(names: Sequence[str], out: Path) -> None:
    """Draw pairs and images of each run, unless the figures exist."""
    out.mkdir(exist_ok=True)
    for name in names:
        path, split = run_and_split(name)
        stem = f"{path.name}-{split}" if split else path.name
        if (out / f"{stem}-images.png").exists():
            continue
        run = mv.open_run(path)
        pairs = generate_pairs(run, split or run.configuration.density.fit_on, 10)
        generated = {
            label: {name: x[pairs.labels == index] for name, x in pairs.values.items()}
            for index, label in enumerate(CLASSES)
        }
        test = run.splits["test"]
        real = {label: test.of_class(label).samples for label in CLASSES}
        pairs_figure(run.model.modalities, real, generated).savefig(out / f"{stem}-pairs.png", dpi=110)
        images = {label: samples["otoscopy"] for label, samples in generated.items()}
        gallery_figure(run.model.modalities["otoscopy"], images).savefig(out / f"{stem}-images.png", dpi=110)


def all_measured(out: Path, judges: str) -> list[Measured]:
    """Read the measurements of all seeds with the same judges.

    Args:
        out: folder of cohorts and runs.
        judges: hash of the judges.
    """
    measured = []
    for folder in sorted(out.glob("seed*"), key=lambda path: (len(path.name), path.name)):
        for name in (*TRAINED, *OTHER_DENSITIES):
            path, split = run_and_split(str(folder / name))
            file = path / (f"measured-{split}.json" if split else "measured.json")
            if file.is_file():
                measured.append(Measured.read(file))
    return [each for each in measured if each.facts["judges"] == judges]


def with_tables(text: str, measured: Sequence[Measured]) -> str:
    """Replace the part of a text between the two marks by the tables of the measured runs.

    Example:
        >>> with_tables("a text", [])
        Traceback (most recent call last):
        multimodal_vae.errors.RunError: README.md has no place for the tables...
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise mv.RunError(f"README.md has no place for the tables; add the lines {BEGIN} and {END}")
    tables = f"{cost_table(measured)}\n\n{comparison(measured, METRICS)}"
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
