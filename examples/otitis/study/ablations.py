"""Change one setting of the recipe ``best`` at a time, at an equal budget, over several cohorts.

Run: ``python examples/otitis/study ablations --seeds 10 11 12``, after ``reproduce``, whose cohorts and judges it uses.
Trainings and measurements that are done are skipped. The tables are written to ``ABLATIONS.md`` beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from judges import Judges
from measure import Measured, measure_run
from multimodal_vae.evaluation.bootstrap import over_seeds
from screen import EXPLANATION, SCREEN, decimals, head, row, value
from steps import add_folders, step_parser
from trainings import RECIPES, changed_recipe, train_all

BASE = RECIPES / "best.toml"
EPOCHS = 10
HELD_OUT, COUNT = {"NOE": 120, "OME": 120, "AOM": 100}, 240
"""Numbers of held-out ears by class and of generated pairs per class; fewer than for the recipes, to save time."""
PAGE = Path(__file__).with_name("ABLATIONS.md")


@dataclass(frozen=True)
class Ablation:
    """One changed setting.

    Attributes:
        name: in the table, and of the run folder.
        settings: values by dotted key that replace the recipe's; None removes a key.
        sampler: settings of a sampler that replaces the recipe's; the weights stay the same.
        fit_on: split on which the densities are fitted; the weights stay the same.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] | None = None
    fit_on: str = "train"

    @property
    def folder(self) -> str:
        """Name of the run folder; ablations of the density share that of ``base``."""
        return self.name.replace(" ", "-").replace(",", "") if self.settings else "base"


QUESTIONS: Mapping[str, Sequence[Ablation]] = {
    "What the triplet loss does": (
        Ablation("base"),
        Ablation("no triplet loss", {"model.objective.metric_weight": 0.0}),
        Ablation("margin 0.05", {"model.metric_loss": {"name": "triplet", "margin": 0.05}}),
        Ablation("margin 1", {"model.metric_loss": {"name": "triplet", "margin": 1.0}}),
        Ablation("on all dimensions", {"model.objective.metric_dimensions": None}),
    ),
    "KL divergence, mean over dimensions or summed with the same weight": (
        Ablation("base"),
        Ablation("summed", {"model.objective.kl_weight": 0.04 * 64}),
    ),
    "Erasing: the target clean or erased as well": (
        Ablation("base"),
        Ablation("erased, clean target", {"modalities.otoscopy.erase": 0.5, "modalities.wbt.erase": 0.5}),
        Ablation(
            "erased, erased target",
            {
                "modalities.otoscopy.erase": 0.5,
                "modalities.otoscopy.erase_target": True,
                "modalities.wbt.erase": 0.5,
                "modalities.wbt.erase_target": True,
            },
        ),
    ),
    "Reconstruction loss of images": (
        Ablation("base"),
        Ablation("SSIM", {"modalities.otoscopy.loss": {"ssim": 1.0}}),
        Ablation("cross entropy", {"modalities.otoscopy.loss": {"bce": 1.0}}),
    ),
    "Density, of the same weights": (
        Ablation("base"),
        Ablation("bandwidth by likelihood", sampler={"name": "kde"}),
        Ablation("by likelihood, variance-preserving", sampler={"name": "kde", "kernel": "variance_preserving"}),
        Ablation("Gaussian mixture", sampler={"name": "gmm"}),
        Ablation("one Gaussian", sampler={"name": "gaussian"}),
        Ablation("between neighbors", sampler={"name": "interpolation"}),
        Ablation("of test patients", fit_on="test"),
    ),
}


def recipe(ablation: Ablation, manifest: Path) -> str:
    """Return the recipe with the changed setting, as TOML."""
    return changed_recipe(BASE, manifest, {"training.epochs": EPOCHS, **ablation.settings})


def claims(measured: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Yield one line per change with the differences from the first setting that the cohorts agree on.

    The cohorts agree if a difference has the same sign in all of them and its mean exceeds twice its standard
    deviation. With one cohort there are no claims.
    """
    (_, base), *others = measured.items()
    if len(base) < 2:
        return
    for name, runs in others:
        differing = []
        for column in SCREEN:
            differences = [value(new, column) - value(old, column) for old, new in zip(base, runs, strict=True)]
            summary = over_seeds(differences)
            one_sign = len({difference > 0 for difference in differences}) == 1
            if summary.spread is not None and one_sign and abs(summary.mean) > 2 * summary.spread:
                differing.append(f"{column} {summary.mean:+.{decimals(column)}f}")
        yield f"- *{name}*: {', '.join(differing) if differing else 'no difference that the cohorts agree on'}."


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, measure, and write the page."""
    parser = step_parser("ablations", "--seeds 10 11 12")
    add_folders(parser)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[10, 11, 12], help="seeds of the cohorts (default 10 11 12)"
    )
    given = parser.parse_args(arguments)
    ablate(given.seeds, given.out, given.judges, given.jobs)


def ablate(seeds: Sequence[int], out: Path, judges_folder: Path, jobs: int) -> None:
    """Train and measure all ablations, and write the page."""
    console = Console(stderr=True)
    ablations = {each.name: each for question in QUESTIONS.values() for each in question}
    trainings = {each.folder: each for each in ablations.values()}
    train_all(
        {
            out / f"seed{seed}/ablations/{folder}": recipe(each, out / f"seed{seed}/cohort/manifest.csv")
            for seed in seeds
            for folder, each in trainings.items()
        },
        jobs,
    )
    judges = Judges.load(judges_folder)
    measured: dict[str, list[Measured]] = {}
    with console.status("measuring") as status:
        for seed in seeds:
            for name, each in ablations.items():
                status.update(f"measuring {name}, seed {seed}")
                run = f"{out / f'seed{seed}/ablations' / each.folder}:{each.fit_on}"
                result = measure_run(run, judges, judges_folder, COUNT, HELD_OUT, sampler=each.sampler)
                measured.setdefault(name, []).append(result)
    PAGE.write_text(page(measured, seeds), "utf-8")
    console.print(f"{PAGE}: {len(measured)} settings, {len(seeds)} cohorts")


def page(measured: Mapping[str, Sequence[Measured]], seeds: Sequence[int]) -> str:
    """Return the page with all tables."""
    lines = [
        "# One choice changed at a time",
        "",
        f"Written by `ablations.py`. Simulated cohorts of seeds {', '.join(map(str, seeds))}, one training each.",
        f"*base* is `best.toml` with {EPOCHS} of its 135 epochs; what holds here may not hold after a full training.",
        "Values are means ± standard deviation over the cohorts. Below each table are the differences from *base* that",
        "the cohorts agree on: the same sign in each, and a mean above twice the standard deviation. Others are ties.",
        "",
        *EXPLANATION,
        "",
    ]
    for question, ablations in QUESTIONS.items():
        runs = {each.name: measured[each.name] for each in ablations}
        rows = [row([name], each) for name, each in runs.items()]
        lines += [f"## {question}", "", *head(""), *rows, "", *claims(runs), ""]
    return "\n".join(lines)
