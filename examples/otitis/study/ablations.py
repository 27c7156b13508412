"""One choice of the recipe changed at a time, at an equal budget, over several cohorts; and tables of what came out.

Run: ``python examples/otitis/study ablations --seeds 10 11 12``. Cohorts and judges are those of ``reproduce``. What is
there is not done again. The tables go to ``ABLATIONS.md`` beside this file.
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
from screen import EXPLAINED, SCREEN, digits, head, row, value
from steps import add_folders, step_parser
from trainings import RECIPES, changed, train_all

BASE = RECIPES / "best.toml"
EPOCHS = 10
HELD_OUT, COUNT = {"NOE": 120, "OME": 120, "AOM": 100}, 240
"""Ears to measure against, and pairs to generate of a class: fewer than for the recipes, for there are many runs."""
PAGE = Path(__file__).with_name("ABLATIONS.md")


@dataclass(frozen=True)
class Ablation:
    """One change.

    Attributes:
        name: in the table, and as a folder.
        settings: by dotted key, in place of the recipe's; a value None removes the key.
        sampler: in place of the recipe's, of the same weights.
        fit_on: split on which densities are fitted, in place of the recipe's, of the same weights.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] | None = None
    fit_on: str = "train"

    @property
    def trained(self) -> str:
        """Folder of the weights: those of the recipe as it is where only the densities differ."""
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
    """The recipe with its change, as TOML."""
    return changed(BASE, manifest, {"training.epochs": EPOCHS, **ablation.settings})


def claims(found: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """What each change did to the first setting's figures, as far as the cohorts agree.

    A difference is named where it has the same sign in every cohort, and its mean is more than twice its standard
    deviation over them; of one cohort, nothing is claimed.
    """
    (_, base), *others = found.items()
    if len(base) < 2:
        return
    for name, runs in others:
        named = []
        for column in SCREEN:
            differences = [value(new, column) - value(old, column) for old, new in zip(base, runs, strict=True)]
            summary = over_seeds(differences)
            one_sign = len({difference > 0 for difference in differences}) == 1
            if summary.spread is not None and one_sign and abs(summary.mean) > 2 * summary.spread:
                named.append(f"{column} {summary.mean:+.{digits(column)}f}")
        yield f"- *{name}*: {', '.join(named) if named else 'no difference that the cohorts agree on'}."


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, measure, and write the page."""
    parser = step_parser("ablations", "--seeds 10 11 12")
    add_folders(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12], help="cohorts (default 10 11 12)")
    given = parser.parse_args(arguments)
    ablate(given.seeds, given.out, given.judges, given.jobs)


def ablate(seeds: Sequence[int], out: Path, judges_folder: Path, jobs: int) -> None:
    """Train and measure all, and write the page."""
    console = Console(stderr=True)
    every = {each.name: each for question in QUESTIONS.values() for each in question}
    trained = {each.trained: each for each in every.values()}
    train_all(
        {
            out / f"seed{seed}/ablations/{name}": recipe(each, out / f"seed{seed}/cohort/manifest.csv")
            for seed in seeds
            for name, each in trained.items()
        },
        jobs,
    )
    judges = Judges.load(judges_folder)
    found: dict[str, list[Measured]] = {}
    with console.status("measuring") as status:
        for seed in seeds:
            for name, each in every.items():
                status.update(f"measuring {name}, seed {seed}")
                run = f"{out / f'seed{seed}/ablations' / each.trained}:{each.fit_on}"
                done = measure_run(run, judges, judges_folder, COUNT, HELD_OUT, sampler=each.sampler)
                found.setdefault(name, []).append(done)
    PAGE.write_text(page(found, seeds), "utf-8")
    console.print(f"{PAGE}: {len(found)} settings, {len(seeds)} cohorts")


def page(found: Mapping[str, Sequence[Measured]], seeds: Sequence[int]) -> str:
    """The page with all tables."""
    lines = [
        "# One choice changed at a time",
        "",
        f"Written by `ablations.py`; cohorts (simulated) of the seeds {', '.join(map(str, seeds))}, a training each.",
        f"*base* is `best.toml` with {EPOCHS} epochs, of 135, so far from done that what holds here may not hold of a",
        "longer training. After ± stands the standard deviation over the cohorts. Below a table stand the differences",
        "from *base* that the cohorts agree on: of one sign in each, and of a mean above twice their standard",
        "deviation. What is not named there is a tie.",
        "",
        *EXPLAINED,
        "",
    ]
    for question, ablations in QUESTIONS.items():
        asked = {each.name: found[each.name] for each in ablations}
        rows = [row([name], runs) for name, runs in asked.items()]
        lines += [f"## {question}", "", *head(""), *rows, "", *claims(asked), ""]
    return "\n".join(lines)
