"""Trainings run side by side; one that fails is named, and the others end first."""

from __future__ import annotations

from pathlib import Path

import pytest

import multimodal_vae as mv
from simulator.cohort import write_cohort
from trainings import RECIPES, changed_recipe, train_all

FEW = {"NOE": 8, "OME": 8, "AOM": 8}
SETTINGS = {
    "modalities.otoscopy.width": 4,
    "modalities.wbt.width": 4,
    "model.latent_dim": 8,
    "training.epochs": 1,
    "training.per_class": 4,
    "training.warmup": None,
}


def test_a_failed_training_is_named_once_all_have_ended(tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort", 0, FEW, workers=1)
    recipe = changed_recipe(RECIPES / "quick.toml", tmp_path / "cohort/manifest.csv", SETTINGS)
    broken = changed_recipe(RECIPES / "quick.toml", tmp_path / "nowhere.csv", SETTINGS)
    with pytest.raises(mv.RunError, match=r"1 of 2 trainings failed; see .*broken\.log"):
        train_all({tmp_path / "broken": broken, tmp_path / "whole": recipe}, jobs=2)
    assert "nowhere.csv" in (tmp_path / "broken.log").read_text("utf-8")
    assert mv.open_run(tmp_path / "whole").status["state"] == "done"
