"""The recipes are valid, the paper's is the paper's, and what is wrong with a clinic's files is said in one line."""

import csv
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import multimodal_vae as mv

HERE = Path(__file__).parent.parent


@pytest.mark.parametrize("recipe", ["quick.toml", "best.toml", "paper.toml", "paper-small.toml", "clean.toml"])
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
    ],
)
def test_recipes_differ_in_what_they_say_and_nothing_else(one, other, differ):
    ours, theirs = settings(one), settings(other)
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == differ


def test_the_papers_recipe_has_the_papers_parameters():
    vae = mv.Configuration.read(HERE / "paper.toml").build(["NOE", "OME", "AOM"])
    count = {
        name: [sum(p.numel() for p in module.parameters()) for module in modules]
        for name, modules in (("encoders", vae.encoders), ("decoders", vae.decoders), ("heads", [vae.fusion]))
    }
    assert count == {"encoders": [8_618_432, 8_616_704], "decoders": [9_533_875, 9_533_297], "heads": [1_048_832]}
    assert sum(p.numel() for p in vae.parameters()) == 37_351_140


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
