"""An evaluated run whose class, modality and patients have names that would do harm in a page that does not escape."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.report.run_evaluation import write_evaluation
from multimodal_vae.run import open_run, train_run

HOSTILE = '</script><img src=x onerror="alert(1)">|*'
SITE = "<b>&site'"
PATIENT = "Doe-Jane-1970-"
SAMPLE = "recording-of-"
COUNT = 48

_TOML = """
[data]
manifest = "manifest.csv"
split = [0.5, 0.0, 0.5]

[modalities.photo]
name = "image"
size = [8, 8]
channels = 1
width = 4

[modalities.blood]
name = "vector"
size = 3
hidden = 8

[model]
latent_dim = 4

[training]
epochs = 2
per_class = 3
device = "cpu"
"""


def _cohort(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sample_id", "patient_id", "label", "photo", "blood", "site", "age"])
        for index in range(COUNT):
            kind = index % 2
            pixels = np.clip(rng.normal(80 + 90 * kind, 20, (8, 8)), 0, 255).astype(np.uint8)
            name = f"{SAMPLE}{index}"
            Pillow.fromarray(pixels).save(folder / f"{name}.png")
            blood = " ".join(f"{number:.4f}" for number in rng.normal(2.0 * kind, 1, 3))
            patient = f"{PATIENT}{index // 2}"
            rows.writerow([name, patient, (HOSTILE, "well")[kind], f"{name}.png", blood, SITE, 20 + index])


@pytest.fixture(scope="session")
def _evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluated")
    _cohort(root / "cohort")
    (root / "cohort" / "run.toml").write_text(_TOML, "utf-8")
    train_run(mv.Configuration.read(root / "cohort" / "run.toml"), root / "run", show=False)
    write_evaluation(open_run(root / "run"), by=["site"], count=12)
    return root


@pytest.fixture
def evaluated(_evaluated: Path, tmp_path: Path) -> Path:
    """A folder of an evaluated run of one's own, with its data beside it."""
    return Path(shutil.copytree(_evaluated, tmp_path / "evaluated")) / "run"
