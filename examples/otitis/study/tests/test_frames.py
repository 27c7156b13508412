"""Each scene is held out in one fold, and folds are averaged."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import torch
from rich.console import Console

import frames
import multimodal_vae as mv
from trainings import RECIPES, changed_recipe


def manifest(folder: Path) -> Path:
    rows = [f"{n},scene-{n // 2},{('NOE', 'AOM')[n % 4 // 2]},{n}.png" for n in range(40)]
    path = folder / "manifest.csv"
    path.write_text("\n".join(["sample_id,patient_id,label,otoscopy", *rows]), "utf-8")
    return path


def test_each_scene_is_held_out_once_and_whole(tmp_path: Path) -> None:
    held_out: list[str] = []
    for fold in range(frames.FOLDS):
        with frames.write_fold(manifest(tmp_path), tmp_path / "out", fold).open(newline="") as file:
            rows = list(csv.DictReader(file))
        test = {row["patient_id"] for row in rows if row["split"] == "test"}
        assert not test & {row["patient_id"] for row in rows if row["split"] == "train"}
        assert [(tmp_path / "out" / row["otoscopy"]).resolve() for row in rows] == [
            tmp_path / f"{n}.png" for n in range(40)
        ]
        held_out.extend(test)
    assert sorted(held_out) == sorted(f"scene-{n}" for n in range(20))


def test_the_recipe_is_that_of_sharp_images_with_a_density_that_does_not_copy(tmp_path: Path) -> None:
    recipe = changed_recipe(RECIPES / "sharp.toml", manifest(tmp_path), frames.SETTINGS)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe, "utf-8")
    configuration = mv.Configuration.read(path)
    assert list(configuration.modalities) == list(configuration.refiners) == ["otoscopy"]
    assert configuration.density.sampler.name == "gmm"


def test_the_distance_to_records_is_the_median() -> None:
    records = torch.zeros(1, 1, 2, 2)
    x = torch.stack([torch.full((1, 2, 2), value) for value in (1.0, 2.0, 9.0)])
    assert frames._nearest(x, records) == 4.0


def test_the_table_has_means_and_standard_errors() -> None:
    fold = {f"energy/{kind}": [1.0] for kind in ("real", "unrefined", "refined")}
    text = io.StringIO()
    frames.print_table([{**fold, "energy/refined": [0.6]}, {**fold, "energy/refined": [0.8]}], Console(file=text))
    assert "0.700 ± 0.100" in text.getvalue()
    assert frames._with_error([math.nan, math.nan]) == ""
