"""Measure what trained runs generate, with judges, against ears of other patients.

A run is named by its folder; RUN:train, RUN:validation and RUN:test select densities fitted on another split than the
run's own. Held-out ears are a fresh cohort, never a run's test split, because a density may have been fitted on that.
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
"""Difference between the seeds of the held-out cohort and the run's cohort."""
HELD_OUT = {"NOE": 300, "OME": 300, "AOM": 200}
"""Number of held-out ears by class."""
COUNT = 500
"""Number of generated pairs per class."""


class Facts(TypedDict):
    """Conditions of a run's metrics; the metrics are computed anew when one changes."""

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


class MeasuredRecord(TypedDict):
    """Content of ``measured.json``."""

    facts: Facts
    metrics: list[dict[str, Any]]


class Cohort(TypedDict):
    """Content of a cohort's ``cohort.json``."""

    seed: int
    simulator_sha256: str


@dataclass(frozen=True)
class Measured:
    """Metrics of one run, and their conditions."""

    facts: Facts
    metrics: list[MetricResult]

    def record(self) -> MeasuredRecord:
        """Return the content of ``measured.json``."""
        return MeasuredRecord(facts=self.facts, metrics=[metric.to_dict() for metric in self.metrics])

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Read ``measured.json``."""
        record = read_json(path, MeasuredRecord)
        return cls(record["facts"], [_metric(each) for each in record["metrics"]])


def measure_run(
    name: str,
    judges: Judges,
    folder: Path,
    count: int = COUNT,
    held_out: Mapping[str, int] = HELD_OUT,
    workers: int = 2,
    sampler: Mapping[str, Any] | None = None,
) -> Measured:
    """Measure one run, or read its ``measured.json`` if that has the same conditions.

    Args:
        name: the run's folder, with the split for its densities if that is not the run's own.
        judges: the judges.
        folder: cache of held-out cohorts.
        count: number of pairs to generate per class.
        held_out: number of held-out ears by class.
        workers: number of processes that draw ears.
        sampler: settings of a sampler that replaces the run's own.

    Raises:
        RunError: if it is no trained run on a cohort of this simulator.
    """
    path, split = run_and_split(name)
    run = mv.open_run(path)
    if run.status["state"] != "done":
        raise mv.RunError(f"the training in {path} is {run.status['state']}; finish it before measuring")
    fitted_on = split or run.configuration.density.fit_on
    cohort = cohort_of(run)
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
        **_cost(path),
    )
    settings = [str(setting).replace(":", "-") for setting in (sampler or {}).values()]
    other_split = [fitted_on] if fitted_on != run.configuration.density.fit_on else []
    file = path / ("-".join(["measured", *other_split, *settings]) + ".json")
    if file.is_file() and (previous := Measured.read(file)).facts == facts:
        return previous
    ears = load_or_draw_ears(folder, facts["held_out_seed"], held_out, workers=workers)
    measured = Measured(facts, run_metrics(run, fitted_on, ears, judges, count, sampler))
    write_json(file, measured.record())
    return measured


def run_metrics(
    run: mv.Run,
    fitted_on: str,
    held_out: Ears,
    judges: Judges,
    count: int,
    sampler: Mapping[str, Any] | None = None,
) -> list[MetricResult]:
    """Compute all metrics of a run."""
    real, clean = held_out.samples, held_out.others[CLEAN]
    data = mv.MultimodalDataset.from_tensors(
        real.values, [CLASSES[label] for label in real.labels], run.model.modalities, run.model.classes
    )
    embeddings = run.model.embed(data)
    reconstructions = run.model.generate(embeddings)
    generated = generate_pairs(run, fitted_on, count, sampler=sampler)
    metrics = evaluate(
        train_samples(run),
        real,
        generated,
        [judges.joint, judges.image, judges.wbt],
        reconstructions,
        embeddings,
        {**real.values, "otoscopy": clean},
    )
    return [*metrics, *ear_metrics(generated, real, clean, judges.landmarks, judges.wbt_means, reconstructions)]


def generate_pairs(
    run: mv.Run, fitted_on: str, count: int, seed: int = 0, sampler: Mapping[str, Any] | None = None
) -> LabeledSamples:
    """Generate pairs, ``count`` per class, classes in order."""
    return draw_pairs(run.synthesizer(sampler, fitted_on), dict.fromkeys(range(len(CLASSES)), count), seed)


def draw_pairs(
    synthesizer: mv.Synthesizer, counts: Mapping[int, int], seed: int = 0, refine: bool = True
) -> LabeledSamples:
    """Draw a number of pairs of each class, by its index, refined if the synthesizer has refiners."""
    pairs = [synthesizer.sample(CLASSES[label], count, seed, refine=refine) for label, count in counts.items()]
    values = {name: torch.cat([each[name] for each in pairs]) for name in pairs[0]}
    labels = torch.cat([torch.full((count,), label) for label, count in counts.items()])
    return LabeledSamples(values, labels)


def train_samples(run: mv.Run) -> LabeledSamples:
    """Return the run's training samples."""
    data = run.splits["train"]
    numbers = torch.tensor([CLASSES.index(name) for name in data.classes])
    values = {name: data.samples[name] for name in data.modalities}
    return LabeledSamples(values, numbers[data.labels], data.patients)


def run_and_split(name: str) -> tuple[Path, str | None]:
    """Split the name of a run into its folder and the split for its densities, None if the name has none.

    Example:
        >>> run_and_split("runs/otitis:train")[1], run_and_split("runs/otitis")[1]
        ('train', None)
    """
    path, colon, split = name.rpartition(":")
    return (Path(path), split) if colon and split in SPLITS else (Path(name), None)


def recipe_of(configuration: mv.Configuration, fitted_on: str) -> str | None:
    """Return the name of the recipe that equals a configuration but for seeds and data, or None."""
    settings = _settings(configuration, fitted_on)
    for path in sorted(RECIPES.glob("*.toml")):
        recipe = mv.Configuration.read(path)
        if _settings(recipe, recipe.density.fit_on) == settings:
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


def cohort_of(run: mv.Run) -> Cohort:
    """Return what a run's simulated cohort records of itself.

    Raises:
        RunError: if it is no cohort of this simulator, or its seed is among those of judges and held-out ears.
    """
    manifest = run.configuration.data.manifest
    if manifest is None:
        raise mv.RunError(f"{run.path} was trained on data in memory; train on a cohort of cohort.py")
    cohort = read_json(manifest.parent / "cohort.json", Cohort)
    if cohort["simulator_sha256"] != identity()["simulator_sha256"]:
        raise mv.RunError(f"the cohort of {run.path} is of another simulator; draw it again and train on it")
    if cohort["seed"] + OTHER_SEEDS >= FIRST_SEED:
        raise mv.RunError(f"the cohort of {run.path} has the seed {cohort['seed']}; take one below {OTHER_SEEDS}")
    return cohort


def _cost(path: Path) -> dict[str, Any]:
    """Return steps and seconds of a training from its logs."""

    def lines(name: str) -> list[dict[str, float]]:
        file = path / name
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []

    steps = max((int(line["step"]) for line in lines("log.jsonl")), default=0)
    return {"steps": steps, "seconds": round(sum(line["machine.seconds"] for line in lines("timing.jsonl")), 3)}


def _metric(record: Mapping[str, Any]) -> MetricResult:
    fields = {**record, "value": float("nan") if record["value"] is None else record["value"]}
    bounds = record["interval"]
    if bounds is not None:
        fields["interval"] = tuple(float("nan") if bound is None else bound for bound in bounds)
    return MetricResult(**fields)


def by_recipe(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Group runs by recipe, in order."""
    groups: dict[str, list[Measured]] = {}
    for each in measured:
        groups.setdefault(each.facts["recipe"], []).append(each)
    return groups


def comparison(measured: Sequence[Measured], names: Sequence[str] = ()) -> str:
    """Return a Markdown table with one row per metric, and value (mean over seeds) and interval per recipe.

    Columns for real samples and the baseline hold means over all runs, since they differ between cohorts only.

    Args:
        measured: the runs.
        names: metrics to show, in order; default: all.
    """
    groups = by_recipe(measured)
    combined = {
        recipe: {metric.name: metric for metric in combine([each.metrics for each in runs])}
        for recipe, runs in groups.items()
    }
    columns = [column for recipe in groups for column in (recipe, "interval")]
    rows = [["metric", "real", "baseline", *columns], ["---"] * (3 + len(columns))]
    names = names or list(dict.fromkeys(name for metrics in combined.values() for name in metrics))
    for name in names:
        results = [metrics.get(name) for metrics in combined.values()]
        known = [metric for metric in results if metric is not None]
        if not known:
            continue  # such as the utility of a quarter of very few ears
        context = [_mean([getattr(metric, what) for metric in known]) for what in ("real", "baseline")]
        cells = [cell for metric in results for cell in _cells(metric)]
        rows.append([name, *context, *cells])
        for what in known[0].context:
            values = [_formatted(metric.context[what]) if metric else "" for metric in results]
            rows.append([f"{name}, {what}", "", "", *(cell for value in values for cell in (value, ""))])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines[1] = "|" + "---|" * len(rows[0])
    return "\n".join(lines)


def _cells(metric: MetricResult | None) -> tuple[str, str]:
    if metric is None:
        return "", ""
    value = _formatted(metric.value) + (f" ± {_formatted(metric.spread)}" if metric.spread is not None else "")
    return value, f"{_formatted(metric.interval[0])} to {_formatted(metric.interval[1])}" if metric.interval else ""


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _formatted(sum(known) / len(known)) if known else ""


def _formatted(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def cost_table(measured: Sequence[Measured]) -> str:
    """Return a Markdown table of the runs' cohorts, densities, steps and seconds."""
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
    """Measure several runs, and write all results to one JSON file if one is named."""
    measured = []
    with Console(stderr=True).status("measuring") as status:
        for name in names:
            status.update(f"measuring {name}")
            measured.append(measure_run(name, judges, folder, count, workers=workers))
    if out:
        write_json(out, [each.record() for each in measured])
    return measured


def main(arguments: Sequence[str]) -> None:
    """Measure runs and print a table."""
    parser = step_parser("measure", "runs/paper-small runs/paper-small:train --judges runs/judges")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run; RUN:train for densities of that split")
    parser.add_argument("--judges", type=Path, required=True, help="folder written by the step judges")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for all results together")
    parser.add_argument("--count", type=int, default=COUNT, help=f"pairs to generate per class (default {COUNT})")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw ears (default 2)")
    given = parser.parse_args(arguments)
    judges = Judges.load(given.judges)
    measured = measure_runs(given.runs, judges, given.judges, given.out, given.count, given.workers)
    print(f"{cost_table(measured)}\n\n{comparison(measured)}")
