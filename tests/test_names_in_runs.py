"""Names on their way through a run: what is noted, refused, written, and read back."""

import json

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.data.manifest import INDEPENDENT
from multimodal_vae.synthesis.generation import write_samples

RECIPE = """
[data]
manifest = "manifest.csv"
split = [1.0, 0.0, 0.0]
cache = false
{data}

[modalities.x]
name = "vector"
size = 2
hidden = 4

[model]
latent_dim = 2
fusion = "poe"

[training]
epochs = 1
per_class = 2
device = "cpu"

[density]
sampler = "gaussian"
"""


def recipe(tmp_path, labels, header="sample_id,patient_id,label,x", data=""):
    rows = [f"s{row},p{row},{label},{row}.5 1" for row, label in enumerate(labels)]
    if header.count(",") == 2:
        rows = [row.replace(f",p{number},", ",", 1) for number, row in enumerate(rows)]
    (tmp_path / "manifest.csv").write_text("\n".join([header, *rows, ""]), "utf-8")
    (tmp_path / "c.toml").write_text(RECIPE.format(data=data), "utf-8")
    return tmp_path / "c.toml"


def test_a_run_says_and_records_that_rows_without_patients_are_independent(tmp_path, mmvae):
    path = recipe(tmp_path, ["ill", "well"] * 4, "sample_id,label,x")
    status, _, err = mmvae("train", path, "--out", tmp_path / "run", "--quiet")
    assert (status, err.splitlines()) == (0, [f"patient_id: {INDEPENDENT}: 8"])
    record = json.loads((tmp_path / "run" / "environment.json").read_text("utf-8"))
    assert record["notes"] == {"patient_id": {INDEPENDENT: 8}}


@pytest.mark.parametrize(
    ("labels", "header", "data", "words"),
    [
        (["ill", "NA"] * 4, "sample_id,patient_id,label,x", "", "'NA' is a word for a missing value"),
        (["ill", "Ill"] * 4, "sample_id,patient_id,label,x", "", "'ill' (PATH, line 2) and 'Ill' (PATH, line 3)"),
        (["ill", "well"] * 4, "sample_id,PatientID,label,x", "", "'PatientID' seems to be 'patient_id'"),
        (["ill", "well"] * 4, "sample_id,patient_id,label,x", 'classes = ["ill", "well", "Well"]', "'well' (number 2)"),
        (["ill", "Well"] * 4, "sample_id,patient_id,label,x", 'classes = ["ill", "well"]', "and the class 'well'"),
    ],
)
def test_a_training_on_doubtful_names_ends_in_one_line(labels, header, data, words, tmp_path, mmvae):
    path = recipe(tmp_path, labels, header, data)
    status, out, err = mmvae("train", path, "--out", tmp_path / "run", "--quiet")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert words.replace("PATH", str(tmp_path / "manifest.csv")) in err
    assert not (tmp_path / "run").exists()


def test_a_word_that_the_recipe_names_is_a_class_up_to_the_new_samples(tmp_path, mmvae):
    path = recipe(tmp_path, ["ill", "NA"] * 4, data='classes = ["NA", "ill"]')
    assert mmvae("train", path, "--out", tmp_path / "run", "--quiet")[0] == 0
    assert mmvae("sample", tmp_path / "run", "--count", 2, "--out", tmp_path / "new")[0] == 0
    run = mv.open_run(tmp_path / "run")
    again = run.read(tmp_path / "new" / "manifest.csv")
    assert again.classes == ["NA", "ill"]
    assert again.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_recipe_may_begin_with_a_byte_order_mark(mark, end, tmp_path):
    path = recipe(tmp_path, ["ill", "well"] * 4)
    path.write_bytes((mark + path.read_text("utf-8").replace("\n", end)).encode())
    assert len(mv.Configuration.read(path).read_data()) == 8


def test_a_recipe_in_another_encoding_says_how_to_save_it(tmp_path):
    path = recipe(tmp_path, ["ill", "well"] * 4, data='classes = ["Ménière", "well"]')
    for encoding in ("utf-16", "cp1252"):
        path.write_bytes(RECIPE.format(data='classes = ["Ménière", "well"]').encode(encoding))
        with pytest.raises(mv.ConfigurationError, match="save it as UTF-8"):
            mv.Configuration.read(path)


@pytest.mark.parametrize(
    "classes", [[" ill ", "well"], ["Ménière", "ear, left"], ["=1+2", "a\nb"], ["1.5", "2"], [b"x", b"y"]]
)
def test_generated_folders_are_read_back_with_their_classes(classes, tmp_path):
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    data = mv.MultimodalDataset.from_tensors({"x": x}, classes * 6, {"x": mv.Vector(size=2, hidden=4)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, fusion="poe", latent_dim=2).eval()
    synthesizer = mv.Synthesizer(vae, "gaussian").fit(data)
    write_samples(tmp_path / "new", synthesizer, dict.fromkeys(data.classes, 3), 0, {})
    again = mv.MultimodalDataset.from_manifest(
        tmp_path / "new" / "manifest.csv", data.modalities, data.classes, cache=False
    )
    assert again.classes == data.classes
    assert np.bincount(again.labels.numpy()).tolist() == [3, 3]
    assert again.notes == {"patient_id": {INDEPENDENT: 6}}
