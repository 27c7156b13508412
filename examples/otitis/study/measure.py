"""Measures what trained runs generate, with judges, against ears of other patients that nothing has learned from.

A run is named by its folder; RUN:train, RUN:validation and RUN:test ask for densities fitted on another split than the
run's own. Held-out ears are a fresh cohort, never a run's test split: a density may have been fitted on that.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from typing_extensions import TypedDict

import multimodal_vae as mv
from ear_metrics import ear_metrics
from ears import CLASSES, CLEAN, Ears, load_or_draw_ears
from judges import FIRST_SEED, Judges
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.result import MetricResult, combine
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import read_json, write_json
from simulator import identity
from steps import step_parser
from trainings import RECIPES

SPLITS = ("train", "validation", "test")
OTHER_SEEDS = 500
"""The held-out cohort's seed is so much higher than that of the run's cohort."""
HELD_OUT = {"NOE": 300, "OME": 300, "AOM": 200}
COUNT = 500


class Facts(TypedDict):
    """What a run's figures hang on."""

    recipe: str
    fitted_on: str
    sampler: dict[str, Any]
    cohort_seed: int
    held_out_seed: int
    held_out: dict[str, int]
    generated: int
    simulator: dict[str, str]
    judges: str
    weights: str
    steps: int
    seconds: float


class Written(TypedDict):
    """``measured.json``."""

    facts: Facts
    figures: list[dict[str, Any]]


class _Cohort(TypedDict):
    seed: int
    simulator_sha256: str


@dataclass(frozen=True)
class Measured:
    """Figures of one run, and what they hang on."""

    facts: Facts
    figures: list[MetricResult]

    def written(self) -> Written:
        """As JSON has it."""
        return Written(facts=self.facts, figures=[figure.to_dict() for figure in self.figures])

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Read back what :meth:`written` gave."""
        written = read_json(path, Written)
        return cls(written["facts"], [_figure(each) for each in written["figures"]])


def measure_run(
    name: str,
    judges: Judges,
    folder: Path,
    count: int = COUNT,
    held_out: Mapping[str, int] = HELD_OUT,
    workers: int = 2,
    sampler: Mapping[str, Any] | None = None,
) -> Measured:
    """Measure one run, or read what was measured before of the same weights with the same judges.

    Args:
        name: the run's folder, with the split for its densities where that is not the run's own.
        judges: who judge.
        folder: where cohorts are kept.
        count: pairs to generate of each class.
        held_out: ears to compare with, of each class.
        workers: processes that draw ears.
        sampler: a table in place of the run's own.

    Raises:
        RunError: if it is no trained run on a simulated cohort of this simulator.
    """
    path, split = run_and_split(name)
    run = mv.open_run(path)
    if run.status["state"] != "done":
        raise mv.RunError(f"the training in {path} is {run.status['state']}; measure it when it is done")
    fitted_on = split or run.configuration.density.fit_on
    cohort = _cohort_of(run)
    facts = Facts(
        recipe=recipe_of(run.configuration, fitted_on) or path.name,
        fitted_on=fitted_on,
        sampler=dict(sampler or run.configuration.density.sampler.configuration),
        cohort_seed=cohort["seed"],
        held_out_seed=cohort["seed"] + OTHER_SEEDS,
        held_out=dict(held_out),
        generated=count,
        simulator=identity(),
        judges=judges.sha256,
        weights=hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest(),
        **_spent(path),
    )
    another = [str(setting).replace(":", "-") for setting in (sampler or {}).values()]
    others = [fitted_on] if fitted_on != run.configuration.density.fit_on else []
    kept = path / ("-".join(["measured", *others, *another]) + ".json")
    if kept.is_file() and (before := Measured.read(kept)).facts == facts:
        return before
    ears = load_or_draw_ears(folder, facts["held_out_seed"], held_out, workers=workers)
    measured = Measured(facts, figures_of(run, fitted_on, ears, judges, count, sampler))
    write_json(kept, measured.written())
    return measured


def figures_of(
    run: mv.Run,
    fitted_on: str,
    held_out: Ears,
    judges: Judges,
    count: int,
    sampler: Mapping[str, Any] | None = None,
) -> list[MetricResult]:
    """All figures of a run."""
    real, clean = held_out.samples, held_out.others[CLEAN]
    data = mv.MultimodalDataset.from_tensors(
        real.values, [CLASSES[label] for label in real.labels], run.model.modalities, run.model.classes
    )
    embeddings = run.model.embed(data)
    reconstructions = run.model.generate(embeddings)
    generated = drawn_pairs(run, fitted_on, count, sampler=sampler)
    figures = evaluate(
        train_samples(run),
        real,
        generated,
        [judges.joint, judges.image, judges.wbt],
        reconstructions,
        embeddings,
        {**real.values, "otoscopy": clean},
    )
    return [*figures, *ear_metrics(generated, real, clean, judges.landmarks, judges.wbt_means, reconstructions)]


def drawn_pairs(
    run: mv.Run, fitted_on: str, count: int, seed: int = 0, sampler: Mapping[str, Any] | None = None
) -> LabeledSamples:
    """New pairs, so many of each class."""
    synthesizer = run.synthesizer(sampler, fitted_on)
    drawn = [synthesizer.sample(label, count, seed) for label in CLASSES]
    values = {name: torch.cat([each[name] for each in drawn]) for name in run.model.modalities}
    return LabeledSamples(values, torch.arange(len(CLASSES)).repeat_interleave(count))


def train_samples(run: mv.Run) -> LabeledSamples:
    """What the run learned from."""
    data = run.splits["train"]
    numbers = torch.tensor([CLASSES.index(name) for name in data.classes])
    values = {name: data.samples[name] for name in data.modalities}
    return LabeledSamples(values, numbers[data.labels], data.patients)


def run_and_split(name: str) -> tuple[Path, str | None]:
    """The folder, and the split for its densities where one is named.

    Example:
        >>> run_and_split("runs/otitis:train")[1], run_and_split("runs/otitis")[1]
        ('train', None)
    """
    path, colon, split = name.rpartition(":")
    return (Path(path), split) if colon and split in SPLITS else (Path(name), None)


def recipe_of(configuration: mv.Configuration, fitted_on: str) -> str | None:
    """The recipe of the example that a configuration is, whatever its seeds and place of data; None if it is none."""
    ours = _settings(configuration, fitted_on)
    for path in sorted(RECIPES.glob("*.toml")):
        recipe = mv.Configuration.read(path)
        if _settings(recipe, recipe.density.fit_on) == ours:
            return path.stem
    return None


def _settings(configuration: mv.Configuration, fitted_on: str) -> dict[str, Any]:
    settings = tomllib.loads(configuration.to_toml())
    settings["density"]["fit_on"] = fitted_on
    for section, keys in (
        ("data", ("manifest", "seed", "cache", "workers")),
        ("model", ("seed",)),
        ("training", ("seed", "loggers", "device", "precision", "checkpoint_seconds")),
    ):
        for key in keys:
            settings[section].pop(key, None)
    return settings


def _cohort_of(run: mv.Run) -> _Cohort:
    manifest = run.configuration.data.manifest
    if manifest is None:
        raise mv.RunError(f"{run.path} was trained on data in memory, and not on a cohort of cohort.py")
    cohort = read_json(manifest.parent / "cohort.json", _Cohort)
    if cohort["simulator_sha256"] != identity()["simulator_sha256"]:
        raise mv.RunError(f"the cohort of {run.path} is of another simulator; draw it anew, and train on it")
    if cohort["seed"] + OTHER_SEEDS >= FIRST_SEED:
        raise mv.RunError(f"the cohort of {run.path} has the seed {cohort['seed']}; take one below {OTHER_SEEDS}")
    return cohort


def _spent(path: Path) -> dict[str, Any]:
    """Steps and seconds of a training, by its logs."""

    def lines(name: str) -> list[dict[str, float]]:
        file = path / name
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []

    steps = max((int(line["step"]) for line in lines("log.jsonl")), default=0)
    return {"steps": steps, "seconds": round(sum(line["machine.seconds"] for line in lines("timing.jsonl")), 3)}


def _figure(written: Mapping[str, Any]) -> MetricResult:
    facts = {**written, "value": float("nan") if written["value"] is None else written["value"]}
    bounds = written["interval"]
    if bounds is not None:
        facts["interval"] = tuple(float("nan") if bound is None else bound for bound in bounds)
    return MetricResult(**facts)


def by_recipe(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Runs of one recipe together, in the order in which they come."""
    together: dict[str, list[Measured]] = {}
    for each in measured:
        together.setdefault(each.facts["recipe"], []).append(each)
    return together


def comparison(measured: Sequence[Measured], names: Sequence[str] = ()) -> str:
    """A Markdown table, a set of columns for each recipe: the value, over seeds where there are several, and interval.

    What real samples and the Gaussian baseline reach is the mean over all: it differs only where cohorts do. `names`
    chooses figures and their order; all where it is empty.
    """
    groups = by_recipe(measured)
    combined = {
        recipe: {f.name: f for f in combine([each.figures for each in runs])} for recipe, runs in groups.items()
    }
    columns = [column for recipe in groups for column in (recipe, "interval")]
    rows = [["metric", "real", "baseline", *columns], ["---"] * (3 + len(columns))]
    names = names or list(dict.fromkeys(name for figures in combined.values() for name in figures))
    for name in names:
        found = [figures.get(name) for figures in combined.values()]
        known = [figure for figure in found if figure is not None]
        if not known:
            continue  # such as what a quarter of very few ears is worth
        context = [_mean([getattr(figure, what) for figure in known]) for what in ("real", "baseline")]
        cells = [cell for figure in found for cell in _cells(figure)]
        rows.append([name, *context, *cells])
        for what in known[0].beside:
            values = [_shown(figure.beside[what]) if figure else "" for figure in found]
            rows.append([f"{name}, {what}", "", "", *(cell for value in values for cell in (value, ""))])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines[1] = "|" + "---|" * len(rows[0])
    return "\n".join(lines)


def _cells(figure: MetricResult | None) -> tuple[str, str]:
    if figure is None:
        return "", ""
    value = _shown(figure.value) + (f" ± {_shown(figure.spread)}" if figure.spread is not None else "")
    return value, f"{_shown(figure.interval[0])} to {_shown(figure.interval[1])}" if figure.interval else ""


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _shown(sum(known) / len(known)) if known else ""


def _shown(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def spent_table(measured: Sequence[Measured]) -> str:
    """A Markdown table of what the runs are, and what they cost."""
    head = "recipe", "cohort seeds", "densities fitted on", "steps", "training, seconds", "held-out ears"
    rows = [f"| {' | '.join(head)} | generated per class |", "|---" * 7 + "|"]
    for recipe, runs in by_recipe(measured).items():
        seeds = ", ".join(str(each.facts["cohort_seed"]) for each in runs)
        seconds = sum(each.facts["seconds"] for each in runs) / len(runs)
        facts = runs[0].facts
        held_out = sum(facts["held_out"].values())
        rows.append(
            f"| {recipe} | {seeds} | {facts['fitted_on']} | {facts['steps']} | {seconds:.0f} | {held_out} "
            f"| {facts['generated']} |"
        )
    return "\n".join(rows)


def measure_runs(
    names: Sequence[str], judges: Judges, folder: Path, out: Path | None, count: int = COUNT, workers: int = 2
) -> list[Measured]:
    """Measure several runs, and write all results to one JSON file where one is named."""
    measured = []
    with Console(stderr=True).status("measuring") as status:
        for name in names:
            status.update(f"measuring {name}")
            measured.append(measure_run(name, judges, folder, count, workers=workers))
    if out:
        write_json(out, [each.written() for each in measured])
    return measured


def main(arguments: Sequence[str]) -> None:
    """Measure runs and print a table."""
    parser = step_parser("measure", "runs/paper-small runs/paper-small:train --judges runs/judges")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run; RUN:train for densities of that split")
    parser.add_argument("--judges", type=Path, required=True, help="folder that judges wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for all results together")
    parser.add_argument("--count", type=int, default=COUNT, help=f"pairs to generate per class (default {COUNT})")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw ears (default 2)")
    given = parser.parse_args(arguments)
    judges = Judges.load(given.judges)
    measured = measure_runs(given.runs, judges, given.judges, given.out, given.count, given.workers)
    print(f"{spent_table(measured)}\n\n{comparison(measured)}")
