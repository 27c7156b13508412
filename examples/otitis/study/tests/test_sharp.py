"""Ears are measured without and with the refiner, at their own size."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

import multimodal_vae as mv
import sharp
from ears import draw_ears
from judges import Judges
from landmark_judge import LandmarkJudge, lessons, train_landmark_judge
from landmarks import LANDMARKS, visible
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.run import train_run


def test_the_same_pairs_are_measured_without_and_with_the_refiner(
    run: tuple[Path, Path], held_out: LabeledSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharp, "patch_classifier", partial(patch_classifier, steps=5))
    shutil.copytree(run[0].parent / "cohort", tmp_path / "cohort")
    settings = mv.open_run(run[0]).configuration.model_dump()
    settings["data"]["manifest"] = tmp_path / "cohort/manifest.csv"
    flow = {"name": "rectified_flow", "width": 8, "integration_steps": 1}
    settings["refinement"] = {"training": {"steps": 2, "loggers": ["jsonl"]}, "refiners": {"otoscopy": flow}}
    trained = train_run(mv.Configuration(**settings), tmp_path / "run", show=False)
    judges = Judges.load(run[1])
    measured = sharp.measure_run(trained, judges, judges.landmarks, held_out, tmp_path / "sheet.png")
    assert list(measured) == [sharp.REAL, "unrefined", "refined"]
    assert set(measured["unrefined"]) == set(measured["refined"])
    assert measured["unrefined"]["energy, band 3"] != measured["refined"]["energy, band 3"]
    assert (tmp_path / "sheet.png").exists()
    with (tmp_path / "table").open("w") as file:
        sharp.print_table([measured, measured], Console(file=file, width=100))
    assert " ± 0.000" in (tmp_path / "table").read_text()


def test_a_judge_of_larger_images_is_trained_on_squares_of_them() -> None:
    ears = draw_ears(503, {"NOE": 3, "OME": 2, "AOM": 2}, LANDMARKS, ("otoscopy",), size=128)
    picture = ears.samples.values["otoscopy"]
    assert picture.shape == (7, 3, 128, 128)
    assert visible(picture, ears.others["malleus"])[ears.samples.labels == 0].all()
    judge = train_landmark_judge(lessons(ears), epochs=1, crop=64)
    assert isinstance(judge, LandmarkJudge)
    assert judge.detect(picture)["malleus"].shape == (7,)


def test_ears_of_another_size_are_the_same_ears() -> None:
    small, large = (
        draw_ears(503, {"NOE": 2, "OME": 0, "AOM": 0}, (), ("otoscopy",), size=size).samples.values["otoscopy"]
        for size in (64, 128)
    )
    reduced = torch.nn.functional.avg_pool2d(large, 2)
    assert float((reduced - small).abs().mean()) < 0.01  # two filters
