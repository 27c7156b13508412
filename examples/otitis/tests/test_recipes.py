"""The recipes are valid, the paper's is the paper's, and what is wrong with a clinic's files is said in one line."""

import csv
import json
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch

import multimodal_vae as mv

HERE = Path(__file__).parent.parent


RECIPES = [
    "quick.toml",
    "missing.toml",
    "best.toml",
    "private.toml",
    "sharp.toml",
    "sharp-128.toml",
    "paper.toml",
    "paper-small.toml",
    "clean.toml",
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_valid_and_looks_for_the_same_cohort(recipe):
    configuration = mv.Configuration.read(HERE / recipe)
    assert configuration.data.manifest == (HERE / "../../runs/cohort/manifest.csv").resolve()
    assert configuration.data.classes == ["NOE", "OME", "AOM"]


def settings(recipe):
    """A recipe as one flat dictionary of its settings."""

    def flat(value, key=""):
        if not isinstance(value, dict):
            return {key: value}
        return {k: v for name, each in value.items() for k, v in flat(each, f"{key}.{name}" if key else name).items()}

    return flat(tomllib.loads(mv.Configuration.read(HERE / recipe).to_toml()))


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("paper.toml", "paper-small.toml", {"modalities.otoscopy.width", "modalities.wbt.width", "training.epochs"}),
        ("paper-small.toml", "clean.toml", {"density.fit_on"}),
        (
            "sharp.toml",
            "sharp-128.toml",
            {
                "modalities.otoscopy.size",
                "modalities.otoscopy.network_size",
                "refinement.training.steps",
                "refinement.refiners.otoscopy.pool",
            },
        ),
    ],
)
def test_recipes_differ_in_what_they_say_and_nothing_else(one, other, differ):
    ours, theirs = settings(one), settings(other)
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == differ


def test_the_sharp_recipe_refines_the_pairs_of_the_best_one():
    sharp = {key: value for key, value in settings("sharp.toml").items() if not key.startswith("refinement.")}
    assert sharp == settings("best.toml")


def test_the_papers_recipe_has_the_papers_parameters():
    vae = mv.Configuration.read(HERE / "paper.toml").build(["NOE", "OME", "AOM"])
    count = {
        name: [sum(p.numel() for p in module.parameters()) for module in modules]
        for name, modules in (("encoders", vae.encoders), ("decoders", vae.decoders), ("heads", [vae.fusion]))
    }
    assert count == {"encoders": [8_618_432, 8_616_704], "decoders": [9_533_875, 9_533_297], "heads": [1_048_832]}
    assert sum(p.numel() for p in vae.parameters()) == 37_351_140


PAPER = """
modalities.otoscopy.name = otoscopy, size = 64, width = 64, network = residual, flip = 0.5, rotate = 1.0,
    degrees = 20.0, erase = 0.5, erase_target = False, loss.ssim = 1.0
modalities.wbt.name = wbt, size = [64; 64], pressure = [180.0; -280.0], frequency = [226.0; 4000.0],
    frequency_axis = log, width = 64, network = residual, erase = 0.5, erase_target = False, loss.bce = 1.0
model.latent_dim = 128, seed = 0
model.fusion.name = concat, dropout = 0.0
model.metric_loss.name = triplet, margin = 0.2, distance = euclidean, mining = semi-hard
model.objective.kl_weight = 0.1, metric_weight = 0.1, reduction = mean
training.epochs = 5000, per_class = 20, unlabeled = 0, learning_rate = 0.0004, schedule = constant, warmup = 0,
    kl_warmup = 0, accumulate = 1, seed = 0
density.fit_on = test
density.sampler.name = kde, folds = 5, kernel = plain, selection = cross_validation, shared = False
"""
"""All settings by which the recipe was first trained, defaults included."""

LOSSES = [1.704393982887268, 1.7087678909301758, 1.7066035270690918]
"""Its first three losses at width 8 on six noisy pictures, as first computed."""


def test_the_papers_recipe_is_independent_of_defaults():
    found, section = settings("paper.toml"), ""
    for line in PAPER.replace(",\n", ",").strip().splitlines():
        for setting in line.split(", "):
            key, value = setting.strip().split(" = ")
            if setting == line.split(", ")[0]:
                section, key = key.rsplit(".", 1)
            assert str(found.pop(f"{section}.{key}")).replace(",", ";") == value, f"{section}.{key}"
    assert not [key for key in found if key.startswith("model.objective.") or ".loss." in key]


def test_the_papers_recipe_computes_what_it_first_did(tmp_path):
    recipe, generator = mv.Configuration.read(HERE / "paper.toml"), torch.Generator().manual_seed(0)
    parts = {name: mv.Modality.of(part.configuration | {"width": 8}) for name, part in recipe.modalities.items()}
    samples = {name: torch.rand(6, *part.shape, generator=generator) for name, part in parts.items()}
    data = mv.MultimodalDataset.from_tensors(samples, ["NOE", "OME", "AOM"] * 2, parts, classes=["NOE", "OME", "AOM"])
    vae = recipe.model_copy(update={"modalities": parts}).build(data.classes)
    training = recipe.training.model_dump(exclude={"loggers"}) | {"epochs": 3, "per_class": 2, "device": "cpu"}
    mv.fit(vae, data, out=tmp_path / "run", show=False, loggers=["jsonl"], **training)
    epochs = (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()
    losses = [json.loads(epoch)["training.loss"] for epoch in epochs]
    assert losses == pytest.approx(LOSSES, rel=1e-6)  # other processors sum in another order


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A manifest of three ears with hand-made files."""
    folder = tmp_path_factory.mktemp("clinic")
    rng = np.random.default_rng(0)
    rows = [["sample_id", "patient_id", "label", "otoscopy", "wbt"]]
    for ear, label in (("a", "NOE"), ("b", "OME"), ("c", "AOM")):
        np.save(folder / f"{ear}.npy", rng.random((3, 64, 64)).astype(np.float32))
        write_sweep(folder / f"{ear}.npz")
        rows.append([ear, ear, label, f"{ear}.npy", f"{ear}.npz"])
    write_rows(folder / "manifest.csv", rows)
    return folder


def write_rows(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_sweep(path, pressures=(200, -300), frequencies=(226, 8000), transpose=False):
    absorbance = np.full((40, 107), 0.5)
    np.savez(
        path,
        Pressure=np.linspace(*pressures, 40),
        Frequency=np.geomspace(*frequencies, 107),
        Absorbance=absorbance.T if transpose else absorbance,
    )


def nan_pixel(folder):
    picture = np.full((3, 64, 64), 0.5, np.float32)
    picture[0, 5, 7] = np.nan
    np.save(folder / "b.npy", picture)


MISTAKES = {
    "a NaN pixel": (nan_pixel, ["line 3", "'b'", "otoscopy", "not finite", "(0, 5, 7)"]),
    "a short pressure axis": (
        lambda folder: write_sweep(folder / "b.npz", pressures=(200, -200)),
        ["line 3", "'b'", "wbt", "-200 to 200 daPa", "never extrapolated"],
    ),
    "frequencies in kHz": (
        lambda folder: write_sweep(folder / "b.npz", frequencies=(0.226, 8)),
        ["line 3", "wbt", "kHz", "multiply it by 1000"],
    ),
    "axes exchanged": (
        lambda folder: write_sweep(folder / "b.npz", transpose=True),
        ["line 3", "wbt", "(107, 40)", "transpose it"],
    ),
    "a wrong label": (
        lambda folder: write_rows(
            folder / "manifest.csv", [["sample_id", "label", "otoscopy", "wbt"], ["a", "AMO", "a.npy", "a.npz"]]
        ),
        ["line 2", "unknown class 'AMO'", "did you mean 'AOM'"],
    ),
    "a missing file": (lambda folder: (folder / "b.npz").unlink(), ["line 3", "b.npz", "no such file"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_clinics_files_is_one_line(mistake, clinic, tmp_path, monkeypatch, capsys):
    for source in clinic.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    make, words = MISTAKES[mistake]
    make(tmp_path)
    words_given = ["train", HERE / "quick.toml", "--manifest", tmp_path / "manifest.csv", "--out", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", ["mmvae", *map(str, words_given)])
    (mmvae,) = entry_points(group="console_scripts", name="mmvae")
    with pytest.raises(SystemExit) as stopped:
        mmvae.load()()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.count("\n") == 1
    assert all(word in said for word in words), said
    assert not (tmp_path / "run").exists()
