"""Measure what a refiner changes: texture, landmarks, fidelity and privacy of a run's ears, without and with it.

Run: ``python examples/otitis/study sharp runs/sharp10 runs/sharp11 --judges runs/judges``. The runs have images of one
size. Landmarks are judged at that size; the judges of classes and causes see images reduced to theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

import multimodal_vae as mv
from ears import CLASSES, draw_ears, load_or_draw_ears
from frontier import HELD_OUT_SEED, Bench
from judges import FIRST_SEED, LANDMARK_EARS, LANDMARK_EPOCHS, Judges
from landmark_judge import LandmarkJudge, lessons, train_landmark_judge
from landmarks import LANDMARKS
from measure import HELD_OUT, draw_pairs, train_samples
from multimodal_vae.evaluation.bootstrap import over_seeds
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.sharpness import energy_ratio
from multimodal_vae.evaluation.texture import patch_distances
from multimodal_vae.files import read_json, write_json
from sheets import draw_sheet
from steps import step_parser

JUDGED = 64
"""Height and width of the images that judges of classes and causes see."""
CROP = 96
"""Height and width of the squares of larger images that a landmark judge sees in a step of its training."""
SHOWN = ("NOE", "malleus"), ("OME", "level"), ("AOM", "vessels")
"""The landmark of each class."""
REAL = "real"

Measured = Mapping[str, Mapping[str, float]]
"""Metrics by name, for each set of ears."""


def measure_run(
    run: mv.Run, judges: Judges, landmarks: LandmarkJudge, held_out: LabeledSamples, sheet: Path
) -> Measured:
    """Return metrics of real training ears, and of as many generated ones without and with the refiner.

    All are compared with held-out ears. Metrics after ``recognized`` are relative to those of real ears.

    Args:
        run: a trained run with a refiner of the image.
        judges: the judges of classes and causes.
        landmarks: the judge of landmarks in images of the run's size.
        held_out: ears of other patients, with images of the run's size.
        sheet: picture to write: images of each class without refiner, with it, and held-out ones.
    """
    train, synthesizer = train_samples(run), run.synthesizer()
    sets = {REAL: train}
    for name, refine in (("unrefined", False), ("refined", True)):
        sets[name] = draw_pairs(synthesizer, train.counts(), refine=refine)
    bench = Bench(run, judges, _reduced(held_out), _reduced(train))
    measured = {name: _texture(each, held_out, landmarks) for name, each in sets.items()}
    for name in ("unrefined", "refined"):
        measured[name] |= bench.compare(_reduced(sets[name]))
    shown = (sets["unrefined"], sets["refined"], held_out)
    draw_sheet(sheet, [(ears.values["otoscopy"], ears.labels) for ears in shown])
    return measured


def _texture(ears: LabeledSamples, held_out: LabeledSamples, judge: LandmarkJudge) -> dict[str, float]:
    pictures, others = ears.values["otoscopy"], held_out.values["otoscopy"]
    measured = {f"energy, band {n}": float(each) for n, each in enumerate(energy_ratio(pictures, others))}
    distances = patch_distances(pictures, others)
    measured |= {f"patch distance, level {n}": each for n, each in enumerate(distances, start=1)}
    measured["patch classifier"] = patch_classifier(others, pictures, held_out.groups, ears.groups).auc()
    for label, landmark in SHOWN:
        of_class = pictures[ears.labels == CLASSES.index(label)]
        measured[f"{landmark} in {label}"] = float(judge.detect(of_class)[landmark].double().mean())
    return measured


def _reduced(ears: LabeledSamples) -> LabeledSamples:
    """Return ears with images of the judges' size."""
    pictures = ears.values["otoscopy"]
    cells = pictures.shape[-1] // JUDGED
    return ears if cells == 1 else replace(ears, values={**ears.values, "otoscopy": F.avg_pool2d(pictures, cells)})


def landmark_judge(folder: Path, judges: Judges, size: int) -> LandmarkJudge:
    """Return the judge of landmarks in images of a size, trained unless the folder has it."""
    if size == JUDGED:
        return judges.landmarks
    path = folder / f"landmarks-{size}.safetensors"
    if not path.exists():
        ears = draw_ears(FIRST_SEED + 10, LANDMARK_EARS, LANDMARKS, ("otoscopy",), workers=2, size=size)
        train_landmark_judge(lessons(ears), LANDMARK_EPOCHS, crop=CROP).save(path)
    return LandmarkJudge.load(path)


def print_table(runs: Sequence[Measured], console: Console) -> None:
    """Print means over runs, with standard errors."""
    sets = list(runs[0])
    table = Table("", *sets, title=f"{len(runs)} cohorts")
    for metric in runs[0][sets[-1]]:
        table.add_row(metric, *(_cell(each[name].get(metric) for each in runs) for name in sets))
    console.print(table)


def _cell(values: Iterable[Any]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    over = over_seeds(known)
    return f"{over.mean:.3f}" + (f" ± {over.spread / math.sqrt(over.count):.3f}" if over.spread is not None else "")


def main(arguments: Sequence[str]) -> None:
    """Measure the runs that have not been measured, and print the table."""
    parser = step_parser("sharp", "runs/sharp10 runs/sharp11 --judges runs/judges")
    parser.add_argument("runs", nargs="+", metavar="RUN", type=Path, help="folder of a run with a refiner")
    parser.add_argument("--judges", type=Path, required=True, help="folder written by the step judges")
    given = parser.parse_args(arguments)
    judges, measured = Judges.load(given.judges), []
    for folder in given.runs:
        path, run = folder / "sharp.json", mv.open_run(folder)
        if not path.exists():
            size = run.model.modalities["otoscopy"].shape[-1]
            held_out = load_or_draw_ears(given.judges, HELD_OUT_SEED, HELD_OUT, workers=2, size=size).samples
            judge = landmark_judge(given.judges, judges, size)
            write_json(path, measure_run(run, judges, judge, held_out, folder / "sharp.png"))
        measured.append(read_json(path, dict[str, dict[str, float]]))
    print_table(measured, Console(width=100))
