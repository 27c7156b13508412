"""Privacy against fidelity, for several densities of the same trained models.

Run: ``python examples/otitis/study frontier RUN ... --judges runs/judges``, with runs of one recipe on cohorts of
several seeds. One held-out cohort serves all runs: judges rate its ears beside the generated ones, and the attacker
must tell the training ears from them. What was measured is kept in each run's folder. ``FRONTIER.md`` and its figure
are written after each measurement.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor
from typing_extensions import TypedDict

import multimodal_vae as mv
from ears import CLASSES, load_or_draw_ears
from judges import Judges
from measure import HELD_OUT, cohort_of, draw_pairs, recipe_of, train_samples
from multimodal_vae.evaluation.bootstrap import over_seeds
from multimodal_vae.evaluation.class_maps import spread_ratio
from multimodal_vae.evaluation.coherence import agreement, within_class_correlation
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.pixels import PixelClassifier, balanced_accuracy
from multimodal_vae.evaluation.samples import LabeledSamples, concatenate
from multimodal_vae.files import read_json, write_json
from multimodal_vae.privacy.membership import Attack
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.spaces import spaces
from steps import step_parser

VERSION = 1
"""To be raised when a metric changes."""
PAGE = Path(__file__).with_name("FRONTIER.md")
FIGURE = Path(__file__).parents[3] / "docs/images/frontier.png"
HELD_OUT_SEED = 500
"""Seed of the held-out cohort, which no run's cohort may have."""
RECOMMENDED = "private: 20 shrunk Gaussians, augmented"
"""Recipe and density that the page recommends."""


def _shrunk(components: int, shrinkage: float) -> dict[str, Any]:
    return {"name": "gmm", "components": components, "covariance": "shrunk", "shrinkage": shrinkage}


@dataclass(frozen=True)
class Setting:
    """A density: the settings of its sampler, and the number of augmented versions of each ear to fit it to."""

    sampler: Mapping[str, Any]
    augmented: int = 0


_SHRUNK: Mapping[str, Setting] = {
    "30 shrunk Gaussians, augmented": Setting(_shrunk(30, 0.5), 10),
    "10 shrunk Gaussians, augmented": Setting(_shrunk(10, 0.7), 10),
}
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "best": {
        "kde of width .4": Setting({"name": "kde", "bandwidth": 0.4}),
        "kde by likelihood": Setting({"name": "kde"}),
        "auto": Setting({"name": "auto"}),
        "3 Gaussians": Setting({"name": "gmm", "components": 3, "covariance": "full", "regularization": 0.05}),
        "1 Gaussian": Setting({"name": "gaussian"}),
        "1 Gaussian, augmented": Setting({"name": "gaussian"}, 10),
        **_SHRUNK,
    },
    "private": {**_SHRUNK, "20 shrunk Gaussians, augmented": Setting(_shrunk(20, 0.6), 10)},
}
"""Densities by recipe and name in the table; of runs of other recipes, their own density is measured."""
OWN = "own density"

PRIVACY = {
    "membership": "AUC",
    "recognized": "recognized at 1 %",
    "closest in data": "closest record",
    "closest in features": "closest record, features",
}
FIDELITY = ("purity", "recall", "coverage", "spread image", "malleus", "fill", "pressure", "coherence", "TSTR")
"""Metrics of fidelity, each relative to that of real ears."""
EXPLANATION = (
    "*AUC*: of an attacker who guesses from the distance to the nearest generated pair whose ears were used (.5 is",
    "chance), with the mean of its intervals by bootstrap over patients. *Recognized*: share of training ears that he",
    "finds while 1 % of other ears are taken for them (.01 is chance). *Closest record*: distance of generated pairs",
    "to the nearest training ear over that of other real ears, in pixels and in the features of a judge (1 = as other",
    "ears). All other metrics are relative to those of real ears (1 = as real): *purity*; *recall* and *coverage*;",
    "*spread* of images within a class; share of generated NOE in which a judge detects the *malleus*; coherence of",
    "*fill* and *pressure* between image and tympanogram, and of the class (*coherence*); and *TSTR*, training on",
    "synthetic ears and testing on real ones.",
)


class Point(TypedDict):
    """One run with one setting: what was measured, and under which conditions."""

    facts: dict[str, Any]
    metrics: dict[str, float]


class Bench:
    """A trained run with what all its settings share.

    Args:
        run: a trained run on a simulated cohort.
        judges: the judges.
        real: ears of other patients.
        train: the run's training ears, with images of the judges' size. Default: as the run reads them.
    """

    def __init__(self, run: mv.Run, judges: Judges, real: LabeledSamples, train: LabeledSamples | None = None) -> None:
        self.run, self.judges, self.real = run, judges, real
        self.train = train_samples(run) if train is None else train
        of_train, of_real = self.train.counts(), self.real.counts()
        self.counts = {label: min(of_train[label], of_real[label]) for label in of_train}
        members, others = (each.subsample(self.counts, seed) for seed, each in enumerate((self.train, self.real)))
        pool = Records(concatenate(_without_causes(members), _without_causes(others)))
        self.space = spaces(pool)["data"]
        self.groups = [*(members.groups or []), *(f"other {name}" for name in others.groups or [])]
        self.members, self.others = (self.space(Records(each)) for each in (members, others))
        self.records, self.record_features = self.space(Records(self.train)), self._features(self.train)
        self.usual = {
            "closest in data": _median_distance(self.others, self.records),
            "closest in features": _median_distance(self._features(others), self.record_features),
            **self._rated(self.real),
            **self._compared(self.train),
        }

    def measure(self, setting: Setting) -> dict[str, float]:
        """Return all metrics of as many generated pairs as the run has training ears."""
        synthesizer = mv.Synthesizer(self.run.model, setting.sampler, setting.augmented).fit(self.run.splits["train"])
        return self.compare(draw_pairs(synthesizer, self.train.counts()))

    def compare(self, new: LabeledSamples) -> dict[str, float]:
        """Return all metrics of generated pairs.

        What real ears do not have at all, as judges see it, is left out.
        """
        points = self.space(Records(new))
        members, others = (-_distance(each, points) for each in (self.members, self.others))
        attack = Attack(members, others, self.groups)
        raw = {
            "closest in data": _median_distance(points, self.records),
            "closest in features": _median_distance(self._features(new), self.record_features),
            **self._rated(new),
            **self._compared(new),
        }
        low, high = attack.auc_interval(resamples=200)
        return {
            "membership": attack.auc(),
            "low": low,
            "high": high,
            "recognized": attack.true_positive_rate(0.01),
            **{name: value / self.usual[name] for name, value in raw.items() if self.usual[name]},
        }

    def _features(self, samples: LabeledSamples) -> Tensor:
        return self.judges.joint.predict(samples.values).features.double()

    def _rated(self, samples: LabeledSamples) -> dict[str, float]:
        """Return what judges say of samples by themselves."""
        labels, noe = samples.labels, samples.labels == CLASSES.index("NOE")
        image, sound = (judge.predict(samples.values) for judge in (self.judges.image, self.judges.wbt))
        return {
            "purity": balanced_accuracy(self.judges.joint.predict(samples.values).labels, labels),
            "coherence": agreement(image.labels, sound.labels, labels),
            "malleus": float(self.judges.landmarks.detect(samples.values["otoscopy"][noe])["malleus"].double().mean()),
            **{
                cause: within_class_correlation(image.causes[cause], sound.causes[cause], labels)
                for cause in ("fill", "pressure")
            },
        }

    def _compared(self, samples: LabeledSamples) -> dict[str, float]:
        """Return metrics of the difference from held-out ears."""
        real, new = (each.subsample(self.counts, seed=0) for each in (self.real, samples))
        found = neighbors(self._features(real), self._features(new))
        classifier = PixelClassifier().fit(samples.values, samples.labels)
        pictures = (samples.values["otoscopy"], samples.labels, self.train.values["otoscopy"], self.train.labels)
        return {
            "recall": float(found.recalled.double().mean()),
            "coverage": float(found.covered.double().mean()),
            "spread image": spread_ratio(*pictures),
            "TSTR": balanced_accuracy(classifier.predict(self.real.values), self.real.labels),
        }


def _without_causes(samples: LabeledSamples) -> LabeledSamples:
    return LabeledSamples(samples.values, samples.labels, samples.groups)


def _distance(x: Tensor, records: Tensor) -> Tensor:
    """Return the distance of each row to its nearest record; by products in float32, since there are 16,384 pixels."""
    return torch.cdist(x.float(), records.float()).amin(1).double()


def _median_distance(x: Tensor, records: Tensor) -> float:
    return float(_distance(x, records).median())


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, measure, and write the page."""
    parser = step_parser("frontier", "runs/reproduce/seed10/best runs/reproduce/seed11/best --judges runs/judges")
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run")
    parser.add_argument("--judges", type=Path, required=True, help="folder written by the step judges")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="page to write")
    parser.add_argument("--figure", type=Path, default=FIGURE, metavar="FILE", help="figure to write")
    given = parser.parse_args(arguments)
    frontier(given.runs, given.judges, given.page, given.figure)


def frontier(runs: Iterable[Path], judges_folder: Path, page: Path, figure: Path) -> None:
    """Measure all settings of all runs, and write page and figure after each of them."""
    console, judges, points = Console(stderr=True), Judges.load(judges_folder), list[Point]()
    held_out = load_or_draw_ears(judges_folder, HELD_OUT_SEED, HELD_OUT, workers=2).samples
    for path in runs:
        for point in measured(path, judges, held_out):
            points.append(point)
            page.write_text(text(points), "utf-8")
            drawn(points).savefig(figure, dpi=110)
            console.print(f"{path}: {point['facts']['setting']}")


def measured(path: Path, judges: Judges, held_out: LabeledSamples) -> Iterator[Point]:
    """Yield the point of each setting of a run, from its ``frontier.json`` if that has the same conditions."""
    file = path / "frontier.json"
    known = read_json(file, dict[str, Point]) if file.is_file() else {}
    run, bench = mv.open_run(path), None
    common = {
        "version": VERSION,
        "recipe": recipe_of(run.configuration, "train") or path.name,
        "cohort_seed": cohort_of(run)["seed"],
        "held_out": len(held_out),
        "judges": judges.sha256,
        "weights": hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest(),
    }
    density = run.configuration.density
    own = {OWN: Setting(density.sampler.configuration, density.augmented)}
    for name, setting in SETTINGS.get(common["recipe"], own).items():
        facts = {**common, "setting": name, "sampler": dict(setting.sampler), "augmented": setting.augmented}
        if name not in known or known[name]["facts"] != facts:
            bench = bench or Bench(run, judges, held_out)
            known[name] = Point(facts=facts, metrics=bench.measure(setting))
            write_json(file, known)
        yield known[name]


def by_setting(points: Iterable[Point]) -> dict[str, list[Mapping[str, float]]]:
    """Return the metrics of each recipe and setting, one per cohort."""
    groups: dict[str, list[Mapping[str, float]]] = {}
    for each in points:
        groups.setdefault(f"{each['facts']['recipe']}: {each['facts']['setting']}", []).append(each["metrics"])
    return groups


def summary(runs: Sequence[Mapping[str, float]], name: str) -> tuple[float, float]:
    """Return the mean of a metric over cohorts and its standard error, zero for one cohort."""
    over = over_seeds(each.get(name, math.nan) for each in runs)
    return over.mean, (over.spread or 0.0) / math.sqrt(over.count)


def text(points: Sequence[Point]) -> str:
    """Return the page with the table."""
    seeds = sorted({each["facts"]["cohort_seed"] for each in points})
    columns = [*PRIVACY.values(), *FIDELITY]
    lines = [
        "# Privacy against fidelity",
        "",
        f"Written by `frontier.py`. Simulated cohorts of seeds {', '.join(map(str, seeds))}, one training each; rows",
        "of one recipe differ in the density only. Values are means ± standard errors over the cohorts. As many pairs",
        "are generated as there are training ears. What is recommended is in bold, and a star in the figure.",
        "",
        *EXPLANATION,
        "",
        "![Privacy against fidelity](../../../docs/images/frontier.png)",
        "",
        f"| density | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, runs in by_setting(points).items():
        cells = [_cell(*summary(runs, metric)) for metric in (*PRIVACY, *FIDELITY)]
        cells[0] += f" ({summary(runs, 'low')[0]:.2f} to {summary(runs, 'high')[0]:.2f})"
        title = f"**{name}**" if name == RECOMMENDED else name
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, error: float) -> str:
    return f"{mean:.2f} ± {error:.2f}" if error else f"{mean:.2f}"


def drawn(points: Sequence[Point]) -> Figure:
    """Return the figure: one panel per metric, privacy along x, fidelity along y; bars are standard errors."""
    shown = ("purity", "recall", "coverage", "malleus", "fill", "pressure", "TSTR", "closest in features")
    groups = by_setting(points)
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    colors = colormaps["turbo_r"](torch.linspace(0.08, 0.92, len(groups)).numpy())
    for panel, metric in zip(panels.flat, shown, strict=True):
        panel.axhline(1, color="0.75", linewidth=1)
        panel.axvline(0.5, color="0.75", linewidth=1)
        for (name, runs), color in zip(groups.items(), colors, strict=True):
            (x, dx), (y, dy) = summary(runs, "membership"), summary(runs, metric)
            best = name == RECOMMENDED
            style = {"marker": "*" if best else "o", "markersize": 16 if best else 7, "zorder": 3 + best}
            panel.errorbar(x, y, dy, dx, label=name, linestyle="none", color=color, **style)
        panel.set_title({"closest in features": "distance to the closest record"}.get(metric, metric), fontsize=11)
    figure.supxlabel("membership: AUC of the attack by generated pairs (.5 = nothing revealed; lower is better)")
    figure.supylabel("relative to real ears (1 = as real)")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return figure
