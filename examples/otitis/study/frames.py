"""Refine images of real ears: five folds of a folder of otoscopy frames, split by scene.

Run: ``python examples/otitis/study frames MANIFEST --out runs/frames``. The manifest has a column ``otoscopy`` and, as
``patient_id``, the scene of each frame: copies and neighbors of a held-out frame are held out as well. Each fold trains
the image of ``sharp.toml`` alone, for as long as so few frames need, with a density that does not copy them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.sharpness import energy_ratio
from multimodal_vae.evaluation.texture import patch_distances
from multimodal_vae.files import read_json, write_json
from sheets import draw_sheet
from steps import step_parser
from trainings import RECIPES, changed_recipe, train_all

FOLDS = 5
FRAMES = "frames"
"""Link to the folder of the frames, beside the manifests of the folds."""
BANDS = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Edges of frequency bands, in cycles per pixel; beyond .4 real frames show their compression."""
SETTINGS: Mapping[str, object] = {
    "data.split": "given",
    "data.classes": None,
    "modalities.wbt": None,
    "training.epochs": None,
    "training.steps": 2000,
    "density.sampler": {"name": "gmm", "components": 3, "covariance": "shrunk", "shrinkage": 0.5},
    "density.augmented": 10,
    "refinement.training.steps": 2500,
}
"""What differs from ``sharp.toml``."""


def write_fold(manifest: Path, out: Path, fold: int) -> Path:
    """Write the manifest of a fold, whose test frames are those of every fifth scene, and return its path."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scenes = sorted({row["patient_id"] for row in rows})
    order = [scenes[index] for index in np.random.default_rng(0).permutation(len(scenes))]
    held_out = set(order[fold::FOLDS])
    for row in rows:
        row["otoscopy"] = f"{FRAMES}/{row['otoscopy']}"
        row["split"] = "test" if row["patient_id"] in held_out else "train"
    path = out / f"fold-{fold}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    link = out / FRAMES
    if not link.exists():  # a manifest names files below its folder only
        link.symlink_to(manifest.parent.resolve(), target_is_directory=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def measure_fold(run: mv.Run, sheet: Path) -> dict[str, list[float]]:
    """Return metrics of real training frames, and of generated ones without and with refiner, and draw a sheet.

    All are compared with held-out frames. The keys are ``METRIC/SET``.
    """
    train, held = (run.splits[name] for name in ("train", "test"))
    (real, labels), (other, other_labels) = (_pictures(split) for split in (train, held))
    counts = torch.bincount(labels, minlength=len(run.model.classes)).tolist()
    synthesizer = run.synthesizer()
    sets = {"real": real}
    for name, refine in (("unrefined", False), ("refined", True)):
        pairs = (
            synthesizer.sample(label, count, seed=0, refine=refine)
            for label, count in zip(run.model.classes, counts, strict=True)
        )
        sets[name] = torch.cat([each["otoscopy"] for each in pairs])
    usual = _nearest(other, real)
    measured: dict[str, list[float]] = {}
    few = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[: len(other)]
    for name, pictures in sets.items():
        measured[f"energy/{name}"] = energy_ratio(pictures, other, BANDS)[1:].tolist()
        measured[f"patch distance/{name}"] = patch_distances(pictures, other)
        measured[f"patch classifier/{name}"] = [patch_classifier(other, pictures[few], held.patients).auc()]
        measured[f"nearest record/{name}"] = [_nearest(pictures, real) / usual if name != "real" else math.nan]
    draw_sheet(sheet, [(sets["unrefined"], labels), (sets["refined"], labels), (other, other_labels)], scale=2)
    return measured


def _pictures(data: mv.MultimodalDataset) -> tuple[Tensor, Tensor]:
    batch = data.batch(torch.arange(len(data)))
    order = batch.labels.argsort(stable=True)
    return batch.samples["otoscopy"][order], batch.labels[order]


def _nearest(x: Tensor, records: Tensor) -> float:
    """Return the median distance to the closest record, in pixels."""
    return float(torch.cdist(x.flatten(1), records.flatten(1)).amin(1).median())


def print_table(folds: Sequence[Mapping[str, Sequence[float]]], console: Console) -> None:
    """Print the mean over the folds, and its standard error."""
    table = Table("metric", "real", "unrefined", "refined", title=f"{len(folds)} folds")
    names = list(dict.fromkeys(key.split("/")[0] for key in folds[0]))
    for name in names:
        cells = []
        for kind in ("real", "unrefined", "refined"):
            columns = zip(*(fold[f"{name}/{kind}"] for fold in folds), strict=True)
            cells.append(", ".join(_with_error(values) for values in columns))
        table.add_row(name, *cells)
    console.print(table)


def _with_error(values: Sequence[float]) -> str:
    if any(map(math.isnan, values)):
        return ""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{fmean(values):.3f} ± {error:.3f}"


def main(arguments: Sequence[str]) -> None:
    """Train and measure the folds that are missing, and print the table."""
    parser = step_parser("frames", "frames/manifest.csv")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="table of the frames")
    parser.add_argument("--out", type=Path, default=Path("runs/frames"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="concurrent trainings (default 2)")
    given = parser.parse_args(arguments)
    recipes = {
        given.out / f"fold-{fold}": changed_recipe(
            RECIPES / "sharp.toml", write_fold(given.manifest, given.out, fold), SETTINGS
        )
        for fold in range(FOLDS)
    }
    train_all(recipes, given.jobs)
    measured = []
    for folder in recipes:
        path = given.out / f"{folder.name}.json"
        if not path.exists():
            write_json(path, measure_fold(mv.open_run(folder), given.out / f"{folder.name}.png"))
        measured.append(read_json(path, dict[str, list[float]]))
    print_table(measured, Console(width=140))
