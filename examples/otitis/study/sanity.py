"""Check that the metrics can be trusted: measure real ears that were spoiled in known ways as if generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ear_metrics import ear_metrics
from ears import CLEAN, Ears, load_or_draw_ears
from judges import FIRST_SEED, Judges
from landmarks import blurred
from multimodal_vae.evaluation.coherence import shuffled_within
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import write_json
from steps import step_parser

COUNTS = {"NOE": 100, "OME": 100, "AOM": 80}
SEEDS = (FIRST_SEED + 10, FIRST_SEED + 11, FIRST_SEED + 12)
"""Seeds of the ears that serve as training, held-out and generated ones."""

Values = Mapping[str, MetricResult]


def shuffled(real: LabeledSamples) -> LabeledSamples:
    """Pair each image with the tympanogram of another ear of its class."""
    order = shuffled_within(real.labels, 0)
    return LabeledSamples({**real.values, "wbt": real.values["wbt"][order]}, real.labels)


def repeated(real: LabeledSamples) -> LabeledSamples:
    """Repeat one sample per class, with a trace of noise so that its covariance is not zero."""
    first = {int(label): int((real.labels == label).nonzero()[0]) for label in real.labels.unique()}
    rows = torch.tensor([first[label] for label in real.labels.tolist()])
    rng = torch.Generator().manual_seed(0)
    values = {name: x[rows] + 1e-3 * torch.randn(x.shape, generator=rng) for name, x in real.values.items()}
    return LabeledSamples(values, real.labels)


def smoothed(real: LabeledSamples) -> LabeledSamples:
    """Blur images by 3 pixels, and keep tympanograms."""
    return LabeledSamples({**real.values, "otoscopy": blurred(real.values["otoscopy"], 3.0)}, real.labels)


def unsharp(real: LabeledSamples) -> LabeledSamples:
    """Blur images by 1 pixel, and keep tympanograms."""
    return LabeledSamples({**real.values, "otoscopy": blurred(real.values["otoscopy"], 1.0)}, real.labels)


def textured(real: LabeledSamples) -> LabeledSamples:
    """Replace detail finer than 2 pixels by that of the first image, and keep tympanograms."""
    images = real.values["otoscopy"]
    coarse = blurred(images, 2.0)
    return LabeledSamples({**real.values, "otoscopy": (coarse + (images - coarse)[:1]).clamp(0, 1)}, real.labels)


def noise(real: LabeledSamples) -> LabeledSamples:
    """Return noise of the same mean and spread."""
    rng = torch.Generator().manual_seed(0)
    values = {
        name: (x.mean() + x.std() * torch.randn(x.shape, generator=rng)).clamp(0, 1) for name, x in real.values.items()
    }
    return LabeledSamples(values, real.labels)


def substitutes(train: LabeledSamples, real: LabeledSamples) -> dict[str, LabeledSamples]:
    """Return what is measured as if generated: real samples, copies of training samples, and spoiled real samples."""
    return {
        "real": real,
        "shuffled": shuffled(real),
        "copied": LabeledSamples(train.values, train.labels),
        "repeated": repeated(real),
        "blurred": smoothed(real),
        "unsharp": unsharp(real),
        "textured": textured(real),
        "noise": noise(real),
    }


WITHIN = "coherence/within class/otoscopy+wbt"
PRESSURE = "coherence/cause pressure/otoscopy+wbt"
COPIES = "copying/closest record"
SHARP = "drum/sharpness/0.1-0.2"
PATCHES = "texture/distance/otoscopy/level 1"
CLASSIFIER = "texture/classifier/otoscopy"
MALLEUS = "landmark/malleus in NOE"


@dataclass(frozen=True)
class Expectation:
    """What the metrics must say of a case.

    Attributes:
        case: name of the substitute.
        says: the expectation in words.
        holds: the expectation as a function of the case's metrics and the real samples' metrics.
    """

    case: str
    says: str
    holds: Callable[[Values, Values], bool]


def _near(name: str, within: float) -> Callable[[Values, Values], bool]:
    return lambda case, real: abs(case[name].value - (real[name].real or 0)) <= within


def _below(name: str, share: float) -> Callable[[Values, Values], bool]:
    return lambda case, real: case[name].value < share * (real[name].real or 0)


def _above(name: str, factor: float) -> Callable[[Values, Values], bool]:
    return lambda case, real: case[name].value > factor * (real[name].real or 0)


EXPECTED = (
    Expectation("real", "textured as real samples are", lambda case, _: case[CLASSIFIER].value < 0.65),
    Expectation("real", "as pure as real samples", _near("purity", 0.05)),
    Expectation("real", "covers as real samples do", _near("fidelity/coverage", 0.1)),
    Expectation("real", "as near to training records as real ones", _near(COPIES, 0.1)),
    Expectation("shuffled", "no coherence within a class", lambda case, _: abs(case[WITHIN].value) < 0.12),
    Expectation("shuffled", "no coherence of middle-ear pressure", lambda case, _: abs(case[PRESSURE].value) < 0.12),
    Expectation("shuffled", "purity does not notice much", _near("purity", 0.15)),
    Expectation("copied", "covers as real samples do", _near("fidelity/coverage", 0.1)),
    Expectation("copied", "caught by the closest record", lambda case, _: case[COPIES].value == 0),
    Expectation("repeated", "pure or nearly", lambda case, _: case["purity"].value > 0.95),
    Expectation("repeated", "no spread", lambda case, _: max(case["purity"].context.values()) < 0.1),
    Expectation("repeated", "next to no coverage", _below("fidelity/coverage", 0.3)),
    Expectation("blurred", "purity hardly notices", _near("purity", 0.15)),
    Expectation("blurred", "no detail", _below(SHARP, 0.1)),
    Expectation("blurred", "fewer handles of the malleus", _below(MALLEUS, 0.5)),
    Expectation("blurred", "fewer vessels", _below("landmark/vessels in AOM", 0.5)),
    Expectation("unsharp", "covers as real samples do", _near("fidelity/coverage", 0.15)),
    Expectation("unsharp", "patches unlike real ones", _above(PATCHES, 3.0)),
    Expectation("unsharp", "distinguished from real ones by patches", lambda case, _: case[CLASSIFIER].value > 0.9),
    Expectation("textured", "covers as real samples do", _near("fidelity/coverage", 0.15)),
    Expectation("textured", "patches unlike real ones", _above(PATCHES, 1.5)),
    Expectation("textured", "distinguished from real ones by patches", lambda case, _: case[CLASSIFIER].value > 0.65),
    Expectation("noise", "no better than chance", lambda case, _: case["purity"].value < 0.45),
    Expectation("noise", "no precision", lambda case, _: case["fidelity/precision"].value < 0.1),
    Expectation("noise", "no coverage", lambda case, _: case["fidelity/coverage"].value < 0.1),
    Expectation("noise", "no coherence within a class", lambda case, _: abs(case[WITHIN].value) < 0.12),
    Expectation("noise", "of no use", _below("utility/synthetic alone", 0.75)),
)


def cases(
    train: LabeledSamples, held_out: Ears, real: LabeledSamples, judges: Judges, resamples: int = 200
) -> dict[str, dict[str, MetricResult]]:
    """Return the metrics of each case by name; ``resamples`` is the number of bootstrap resamples."""
    results = {}
    for name, samples in substitutes(train, real).items():
        clean = held_out.others[CLEAN]
        metrics = [
            *evaluate(train, held_out.samples, samples, [judges.joint, judges.image, judges.wbt], resamples=resamples),
            *ear_metrics(samples, held_out.samples, clean, judges.landmarks, judges.wbt_means),
        ]
        results[name] = {metric.name: metric for metric in metrics}
    return results


def main(arguments: Sequence[str]) -> int:
    """Print the metrics of all cases and whether each expectation holds; return 1 if one does not, else 0."""
    parser = step_parser("sanity", "--judges runs/judges")
    parser.add_argument("--judges", type=Path, required=True, help="folder written by the step judges")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for all results")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw ears (default 2)")
    given = parser.parse_args(arguments)
    train, held_out, third = (
        load_or_draw_ears(given.judges, seed, COUNTS, others, workers=given.workers)
        for seed, others in zip(SEEDS, ((), (CLEAN,), ()), strict=True)
    )
    results = cases(train.samples, held_out, third.samples, Judges.load(given.judges))
    print(table(results))
    print()
    failed = 0
    for line, holds in verdicts(results):
        failed += not holds
        print(f"- {'holds' if holds else 'DOES NOT HOLD'}: {line}")
    if given.out is not None:
        write_json(given.out, {name: [metric.to_dict() for metric in each.values()] for name, each in results.items()})
    return int(failed > 0)


def verdicts(results: Mapping[str, Values]) -> list[tuple[str, bool]]:
    """Return each expectation in words, and whether it holds."""
    return [(f"{each.case}: {each.says}", each.holds(results[each.case], results["real"])) for each in EXPECTED]


def table(results: Mapping[str, Values], names: Sequence[str] | None = None) -> str:
    """Return a Markdown table of the metrics of all cases, after those of the held-out ears."""
    first = results["real"]
    rows = ["| metric | held out | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    for name in names or first:
        reference = first[name].real
        values = [f"{each[name].value:.3g}" for each in results.values()]
        rows.append(f"| {name} | {'' if reference is None else f'{reference:.3g}'} | {' | '.join(values)} |")
        for what in first[name].context:
            values = [f"{each[name].context[what]:.3g}" for each in results.values()]
            rows.append(f"| {name}, {what} | | {' | '.join(values)} |")
    return "\n".join(rows)
