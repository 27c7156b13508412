import csv
import json
import shutil

import pytest
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.synthesis.conditional import write_completion, write_interpolation, write_translations
from multimodal_vae.synthesis.folder import mark_png
from multimodal_vae.synthesis.marks import NOTICE


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def blank(manifest, cells):
    """Empty some cells, each given as its row's number and its column."""
    rows = rows_of(manifest)
    for row, column in cells:
        rows[row][column] = ""
    with open(manifest, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


LACKING = [(0, "photo"), (3, "blood"), (4, "blood"), (5, "label")]


@pytest.fixture
def vae(columns):
    return mv.MultimodalVAE(columns, ["ill", "well"], mv.PoE(), latent_dim=3, seed=0).eval()


@pytest.fixture
def read(manifest, columns):
    def read(path=manifest):
        return mv.MultimodalDataset.from_manifest(path, columns, ["ill", "well"], cache=False)

    return read


@pytest.fixture
def lacking(manifest, read):
    blank(manifest, LACKING)
    return read()


def test_empty_cells_are_filled_with_what_the_model_tells_and_the_others_are_kept(vae, lacking, read, tmp_path):
    assert write_completion(tmp_path / "new", vae, lacking, {}) == {"photo": 1, "blood": 2}
    data = read(tmp_path / "new" / "manifest.csv")
    assert data.present.all()
    assert (data.ids, data.patients, data.labels.tolist()) == (lacking.ids, lacking.patients, lacking.labels.tolist())
    assert data.metadata["site"] == ["here"] * 24
    generated = vae.reconstruct(lacking)
    for column, name in enumerate(data.modalities):
        here = lacking.present[:, column]
        assert torch.equal(data.samples[name][here], lacking.samples[name][here])
        tolerance = 0.5 / 255 + 1e-6 if name == "photo" else 1e-5  # 8 bits a pixel
        torch.testing.assert_close(data.samples[name][~here], generated[name][~here], rtol=1e-5, atol=tolerance)


def test_original_cells_lead_to_the_original_files_also_when_both_are_moved(vae, lacking, manifest, read, tmp_path):
    write_completion(tmp_path / "new", vae, lacking, {})
    rows = rows_of(tmp_path / "new" / "manifest.csv")
    before = rows_of(manifest)
    for new, old in zip(rows[1:], before[1:], strict=True):
        assert (tmp_path / "new" / new["photo"]).samefile(manifest.parent / old["photo"])
    assert [path.name for path in (tmp_path / "new" / "photo").iterdir()] == ["s0.png"]
    (tmp_path / "elsewhere").mkdir()
    for each in (tmp_path / "new", manifest.parent):
        shutil.move(each, tmp_path / "elsewhere" / each.name)
    assert read(tmp_path / "elsewhere" / "new" / "manifest.csv").present.all()


def test_what_is_synthetic_says_so(vae, lacking, manifest, tmp_path):
    write_completion(tmp_path / "new", vae, lacking, {"run": "here"})
    rows = rows_of(tmp_path / "new" / "manifest.csv")
    said = {number: row["origin"] for number, row in enumerate(rows) if row["origin"]}
    blood = f"{NOTICE}: blood (expected value)"
    assert said == {0: f"{NOTICE}: photo (expected value)", 3: blood, 4: blood}
    with Pillow.open(tmp_path / "new" / rows[0]["photo"]) as picture:
        assert picture.info["Warning"] == NOTICE
    with Pillow.open(tmp_path / "new" / rows[1]["photo"]) as picture:
        assert "Warning" not in picture.info
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    assert provenance.pop("date")
    assert provenance == {
        "notice": NOTICE,
        "run": "here",
        "manifest": str(manifest),
        "filled": {"photo": 1, "blood": 2},
        "seed": None,
        "latents": "mean",
        "noise_by_modality": {"photo": "mean", "blood": "mean"},
    }


def test_a_seed_draws_once_from_each_posterior(vae, lacking, tmp_path):
    for name, seed in (("mean", None), ("one", 1), ("again", 1), ("two", 2)):
        write_completion(tmp_path / name, vae, lacking, {}, seed)
    mean, one, again, two = (rows_of(tmp_path / name / "manifest.csv") for name in ("mean", "one", "again", "two"))
    assert one == again
    assert len({rows[3]["blood"] for rows in (mean, one, two)}) == 3


def test_what_was_completed_can_be_completed_again(vae, lacking, read, tmp_path):
    write_completion(tmp_path / "new", vae, lacking, {})
    assert write_completion(tmp_path / "newer", vae, read(tmp_path / "new" / "manifest.csv"), {}) == {}
    rows = rows_of(tmp_path / "newer" / "manifest.csv")
    assert rows[0]["origin"] == f"{NOTICE}: photo (expected value)"
    assert {row["origin_of_sample"] for row in rows} == {""}
    assert read(tmp_path / "newer" / "manifest.csv").present.all()


def test_a_row_with_nothing_is_refused_by_file_and_line(manifest, read):
    blank(manifest, [(3, "photo"), (3, "blood")])
    with pytest.raises(mv.DataError, match=r"manifest\.csv, line 5: sample 's3' has no modality"):
        read()


def test_a_fusion_that_needs_everything_is_refused_by_file_and_line(columns, lacking, tmp_path):
    vae = mv.MultimodalVAE(columns, ["ill", "well"], mv.Concat(), latent_dim=3)
    with pytest.raises(mv.DataError, match=r"manifest\.csv, line 2: .*lacks 'photo'.*dropout"):
        write_completion(tmp_path / "new", vae, lacking, {})
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_nothing_behind(vae, lacking, tmp_path, monkeypatch):
    def fail(self, sample, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(mv.Image, "write", fail)
    with pytest.raises(mv.RunError, match="No space left on device"):
        write_completion(tmp_path / "new", vae, lacking, {})
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_completed_is_refused(vae, lacking, manifest, make_data, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    with pytest.raises(mv.RunError, match="already exists"):
        write_completion(tmp_path / "taken", vae, lacking, {})
    with pytest.raises(mv.DataError, match="the data has the modalities"):
        write_completion(tmp_path / "new", vae, make_data(), {})
    lacking.source = None
    with pytest.raises(mv.DataError, match="has no manifest"):
        write_completion(tmp_path / "new", vae, lacking, {})
    lacking.source = manifest
    manifest.write_text(manifest.read_text("utf-8").replace("s3,", "t3,"), "utf-8")
    with pytest.raises(mv.DataError, match="has changed since it was read"):
        write_completion(tmp_path / "new", vae, lacking, {})


@pytest.mark.parametrize("draws", [None, 2])
def test_translations_are_a_data_set_of_one_modality(vae, read, columns, tmp_path, draws):
    given = read().only("blood")
    write_translations(tmp_path / "new", vae, given, "photo", {}, draws, seed=4)
    photo = {"photo": columns["photo"]}
    data = mv.MultimodalDataset.from_manifest(tmp_path / "new" / "manifest.csv", photo, cache=False)
    generated = vae.translate(given, "photo", draws=draws, seed=4)
    generated = generated if draws is None else generated.flatten(0, 1)
    torch.testing.assert_close(data.samples["photo"], generated, rtol=0, atol=0.5 / 255 + 1e-6)
    assert data.ids[:2] == (["s0", "s1"] if draws is None else ["s0-1", "s0-2"])
    assert data.patients[:: draws or 1] == given.patients
    assert set(data.metadata["origin"]) == {f"{NOTICE}: photo ({'expected value' if draws is None else 'draw'})"}
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    assert (provenance["given"], provenance["to"], provenance["draws"]) == (["blood"], "photo", draws)


def test_the_way_from_one_sample_to_another_is_a_data_set(vae, read, columns, tmp_path):
    pair = read().named("s2", "s7")
    write_interpolation(tmp_path / "new", vae, pair, 10, {})
    data = read(tmp_path / "new" / "manifest.csv")
    assert (data.ids[0], data.ids[9]) == ("s2-s7-01", "s2-s7-10")
    torch.testing.assert_close(data.samples["blood"], vae.interpolate(pair, 10)["blood"], rtol=1e-6, atol=1e-6)
    assert set(data.metadata["origin"]) == {f"{NOTICE}: photo (expected value), blood (expected value)"}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_mark_changes_no_pixel_and_marks_nothing_but_a_png(tmp_path, mode):
    picture = Pillow.linear_gradient("L").convert(mode)
    for name in ("a.png", "b.jpg"):
        picture.save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"something else")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in before:
        mark_png(tmp_path / name)
    with Pillow.open(tmp_path / "a.png") as marked:
        marked.verify()  # the checksums of all chunks
    with Pillow.open(tmp_path / "a.png") as marked:
        assert marked.tobytes() == picture.tobytes()
        assert marked.text == {"Warning": NOTICE}
    assert (tmp_path / "b.jpg").read_bytes() == before["b.jpg"]
    assert (tmp_path / "c.png").read_bytes() == before["c.png"]
