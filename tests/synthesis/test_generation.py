import csv
import json
import re
import shutil

import pytest
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.synthesis import generation
from multimodal_vae.synthesis.folder import LONGEST, safe_file_name
from multimodal_vae.synthesis.marks import NOTICE


def build(classes=("ill", "well"), names=("photo", "blood", "side", "trace")):
    torch.manual_seed(0)
    count = 4 * len(classes)
    parts = [
        mv.Image(size=(6, 5), channels=3, width=4),
        mv.Vector(size=3, hidden=4),
        mv.Categorical(categories=["left", "right"], hidden=4),
        mv.Signal(length=8, channels=2, width=4),
    ]
    parts = dict(zip(names, parts, strict=False))
    samples = {
        name: torch.eye(2)[torch.arange(count) % 2] if part.name == "categorical" else torch.rand(count, *part.shape)
        for name, part in parts.items()
    }
    data = mv.MultimodalDataset.from_tensors(samples, list(classes) * 4, parts, classes=classes)
    vae = mv.MultimodalVAE(parts, data.classes, latent_dim=3, seed=0).eval()
    return mv.Synthesizer(vae, {"name": "kde", "bandwidth": 0.5}).fit(data)


@pytest.fixture
def synthesizer():
    return build()


def read_back(out, synthesizer):
    return mv.MultimodalDataset.from_manifest(out / "manifest.csv", synthesizer.vae.modalities, synthesizer.vae.classes)


def test_the_folder_is_itself_a_data_set_of_what_was_generated(synthesizer, tmp_path):
    mv.write_samples(tmp_path / "new", synthesizer, {"ill": 7, "well": 12}, 5, {})
    data = read_back(tmp_path / "new", synthesizer)
    assert [int((data.labels == label).sum()) for label in (0, 1)] == [7, 12]
    assert data.ids[0] == "ill-1"
    assert data.ids[7:9] == ["well-01", "well-02"]
    assert len(set(data.patients)) == 19
    for number, label in enumerate(("ill", "well")):
        expected = synthesizer.sample(label, len(data.of_class(label)), seed=5 + number)
        read = data.of_class(label).samples
        # 8 bits a pixel; whole categories; 6 decimals in a cell; all of float32 in an array's file.
        torch.testing.assert_close(read["photo"], expected["photo"], rtol=0, atol=0.5 / 255 + 1e-6)
        assert torch.equal(read["side"].argmax(1), expected["side"].argmax(1))
        torch.testing.assert_close(read["blood"], expected["blood"], rtol=1e-6, atol=1e-6)
        assert torch.equal(read["trace"], expected["trace"])


def test_every_row_and_the_folder_say_that_they_are_synthetic_and_where_from(synthesizer, tmp_path):
    mv.write_samples(tmp_path / "new", synthesizer, {"well": 3}, 5, {"run": "here"})
    data = read_back(tmp_path / "new", synthesizer)
    assert data.metadata == {"origin": [NOTICE] * 3}
    with Pillow.open(tmp_path / "new" / "photo" / "well-2.png") as picture:
        assert picture.info["Warning"] == NOTICE
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    date = provenance.pop("date")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", date)
    assert provenance == {
        "notice": "synthetic, not for diagnosis",
        "run": "here",
        "sampler": synthesizer.sampler.configuration,
        "chosen": synthesizer.sampler.configuration,
        "ranking": [],
        "guarantee": None,
        "densities_fitted_on": {"ill": 4, "well": 4},
        "counts": {"well": 3},
        "seed": 5,
        "temperature": 1.0,
        "min_quantile": 0.0,
        "noise": None,
        "noise_by_modality": synthesizer.vae.noise_of(),
    }


def test_temperature_and_quantile_are_used_and_said(synthesizer, tmp_path):
    mv.write_samples(tmp_path / "new", synthesizer, {"well": 3}, 5, {}, 0.5, 0.2)
    expected = synthesizer.sample("well", 3, seed=6, temperature=0.5, min_quantile=0.2)["trace"]
    assert torch.equal(read_back(tmp_path / "new", synthesizer).samples["trace"], expected)
    assert not torch.equal(expected, synthesizer.sample("well", 3, seed=6)["trace"])
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    assert (provenance["temperature"], provenance["min_quantile"]) == (0.5, 0.2)


@pytest.mark.parametrize(("setting", "value"), [("temperature", -1.0), ("min_quantile", 1.0)])
def test_a_setting_out_of_range_leaves_nothing_behind(synthesizer, tmp_path, setting, value):
    with pytest.raises(mv.ConfigurationError, match=setting):
        mv.write_samples(tmp_path / "new", synthesizer, {"ill": 2}, 0, {}, **{setting: value})
    assert not list(tmp_path.iterdir())


def test_a_class_does_not_depend_on_the_others(synthesizer, tmp_path):
    mv.write_samples(tmp_path / "one", synthesizer, {"well": 5}, 1, {})
    mv.write_samples(tmp_path / "two", synthesizer, {"ill": 3, "well": 5}, 1, {})
    for path in ("photo/well-1.png", "photo/well-5.png"):
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    one, two = ((tmp_path / each / "manifest.csv").read_text("utf-8").splitlines() for each in ("one", "two"))
    assert one[1:] == two[4:]


def test_how_many_are_made_at_once_does_not_matter(synthesizer, tmp_path, monkeypatch):
    mv.write_samples(tmp_path / "one", synthesizer, {"well": 5}, 1, {})
    monkeypatch.setattr(generation, "CHUNK_SIZE", 2)
    mv.write_samples(tmp_path / "two", synthesizer, {"well": 5}, 1, {})
    one, two = (read_back(tmp_path / each, synthesizer) for each in ("one", "two"))
    assert one.ids == two.ids
    for name, x in one.samples.items():
        # A batch of another size adds up in another order, and a pixel on the edge may be rounded to the next level.
        torch.testing.assert_close(two.samples[name], x, rtol=1e-4, atol=1.01 / 255 if name == "photo" else 1e-5)


def test_a_taken_place_is_refused_and_left_as_it_was(synthesizer, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("kept", "utf-8")
    with pytest.raises(mv.RunError, match="already exists"):
        mv.write_samples(tmp_path / "new", synthesizer, {"ill": 2}, 0, {})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]


def contents(folder):
    """Every file by its path, but for the date."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found["provenance.json"] = {**json.loads(found["provenance.json"]), "date": None}
    return found


@pytest.fixture
def stopped(synthesizer, tmp_path, monkeypatch):
    """A generation that a full disk ended in its third chunk of two samples."""
    monkeypatch.setattr(generation, "CHUNK_SIZE", 2)
    write, written = mv.Signal.write, []

    def fail(self, sample, path):
        written.append(path)
        if len(written) == 6:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        write(self, sample, path)

    with monkeypatch.context() as patch:
        patch.setattr(mv.Signal, "write", fail)
        with pytest.raises(mv.RunError, match="No space left on device; rerun the same command or call to resume"):
            mv.write_samples(tmp_path / "new", synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})
    assert [path.name for path in tmp_path.iterdir()] == [".new.partial"]
    return tmp_path / "new"


def test_the_same_call_goes_on_after_a_failure_to_the_same_files(stopped, synthesizer, tmp_path, monkeypatch):
    write, written = mv.Signal.write, []

    def note(self, sample, path):
        written.append(path.name)
        write(self, sample, path)

    monkeypatch.setattr(mv.Signal, "write", note)
    mv.write_samples(stopped, synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})
    assert written == ["well-3.npy", "well-4.npy", "well-5.npy"]
    mv.write_samples(tmp_path / "whole", synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})
    assert contents(stopped) == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "whole"]


@pytest.mark.parametrize(
    ("counts", "seed", "origin", "key"),
    [
        ({"ill": 3, "well": 6}, 1, "here", "counts"),
        ({"ill": 3, "well": 5}, 2, "here", "seed"),
        ({"ill": 3, "well": 5}, 1, "there", "run"),
    ],
)
def test_another_request_is_refused_and_what_is_done_stays(stopped, synthesizer, counts, seed, origin, key):
    with pytest.raises(mv.RunError, match=f"unfinished generation with another '{key}'"):
        mv.write_samples(stopped, synthesizer, counts, seed, {"run": origin})
    mv.write_samples(stopped, synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})


@pytest.mark.parametrize("setting", ["temperature", "min_quantile"])
def test_another_way_of_drawing_is_another_request(stopped, synthesizer, setting):
    with pytest.raises(mv.RunError, match=f"unfinished generation with another '{setting}'"):
        mv.write_samples(stopped, synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"}, **{setting: 0.5})


def test_other_weights_are_another_request(stopped, synthesizer):
    with torch.no_grad():
        next(synthesizer.vae.parameters()).add_(1)
    with pytest.raises(mv.RunError, match="unfinished generation with another 'weights'"):
        mv.write_samples(stopped, synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})


def test_what_a_process_left_that_was_killed_as_it_began_or_ended_is_in_nobodys_way(stopped, synthesizer, tmp_path):
    shutil.rmtree(tmp_path / ".new.partial" / "result")
    (tmp_path / ".new.partial" / ".request.json.0123456789abcdef").write_bytes(b"half")
    mv.write_samples(stopped, synthesizer, {"ill": 3, "well": 5}, 1, {"run": "here"})
    assert len(read_back(stopped, synthesizer)) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_an_unknown_class_is_an_error_and_leaves_nothing_behind(synthesizer, tmp_path):
    with pytest.raises(mv.SamplerError, match="no class 'wel'; did you mean 'well'"):
        mv.write_samples(tmp_path / "new", synthesizer, {"ill": 2, "wel": 2}, 0, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "classes",
    [["a/b", "a_b", "..", "type"], ["a b", 'say "no", twice', "été", "."], ["x" * 300, "con", "-", "a\\b"]],
    ids=["paths", "words", "lengths"],
)
def test_classes_may_be_called_anything(classes, tmp_path):
    synthesizer = build(classes)
    mv.write_samples(tmp_path / "new", synthesizer, dict.fromkeys(classes, 3), 0, {})
    data = read_back(tmp_path / "new", synthesizer)
    assert [data.classes[label] for label in data.labels] == [name for name in classes for _ in range(3)]
    # No file was written over another, and none outside of the folder.
    for name, ending in (("photo", "png"), ("trace", "npy")):
        assert len(list((tmp_path / "new" / name).glob(f"*.{ending}"))) == 3 * len(classes)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    expected = synthesizer.sample(classes[1], 3, seed=1)["trace"]
    assert torch.equal(data.of_class(classes[1]).samples["trace"], expected)


def test_a_manifest_is_safe_in_a_spreadsheet_and_reads_back_equal(tmp_path):
    classes = ["=cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "'=quoted", "-1.5", "+x\ty", "plain"]
    synthesizer = build(classes, ("=HYPERLINK(1)", "-2+3", "@side", "+trace"))
    mv.write_samples(tmp_path / "new", synthesizer, dict.fromkeys(classes, 2), 0, {})
    with open(tmp_path / "new" / "manifest.csv", newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    dangerous = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "-1.5" in dangerous
    assert all(float(number) for cell in dangerous for number in cell.split())
    data = read_back(tmp_path / "new", synthesizer)
    assert [data.classes[label] for label in data.labels] == [name for name in classes for _ in range(2)]
    assert data.ids[0] == f"{classes[0]}-1"
    assert torch.equal(data.samples["+trace"][:2], synthesizer.sample(classes[0], 2, seed=0)["+trace"])


DEVICES = [
    "CON",
    "prn",
    "AUX.x",
    "nul",
    "NUL",
    "com1",
    "COM\u00b9",
    "lpt9.tar.gz",
    "a.",
    "a ",
    "a",
    "A",
    'x<>:"/\\|?*',
    "\x07",
]


def test_file_names_are_valid_on_windows():
    used = set()
    for name in DEVICES:
        safe = safe_file_name(name, LONGEST, used)
        assert safe.split(".")[0].rstrip().casefold() not in ("con", "prn", "aux", "nul", "com1", "com\u00b9", "lpt9")
        assert not safe.endswith((".", " "))
        assert not set(safe) & set('<>:"/\\|?*\x07')
    assert len(used) == len(DEVICES)


@pytest.mark.parametrize("name", ["x" * 300, "語" * 100, "." * 200 + "a"], ids=["letters", "wide letters", "dots"])
def test_a_class_with_a_long_name_may_have_many_samples(name, tmp_path):
    # A file's name has at most 255 bytes on most systems.
    data = mv.MultimodalDataset.from_tensors({"x": torch.rand(4, 2)}, [name] * 4, {"x": mv.Vector(size=2, cell="path")})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0).eval()
    mv.write_samples(tmp_path / "new", mv.Synthesizer(vae).fit(data), {name: 300}, 0, {})
    assert len(list((tmp_path / "new" / "x").glob("*.npy"))) == 300


@pytest.mark.parametrize(
    "names",
    [
        ("a/b", "..", "a_b", "..."),
        ("type", "half", "été", "A"),
        ("origin", "date", "x", "y"),
        ("manifest.csv", "b", "provenance.json", "MANIFEST.csv"),
    ],
)
def test_modalities_may_be_called_anything(names, tmp_path):
    synthesizer = build(names=names)
    mv.write_samples(tmp_path / "new", synthesizer, {"ill": 3}, 0, {})
    data = read_back(tmp_path / "new", synthesizer)
    expected = synthesizer.sample("ill", 3, seed=0)
    assert torch.equal(data.samples[names[3]], expected[names[3]])
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_without_modalities_in_files_there_are_no_folders(tmp_path):
    data = mv.MultimodalDataset.from_tensors({"x": torch.randn(8, 2)}, [0, 1] * 4, {"x": mv.Vector(size=2, hidden=4)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0).eval()
    mv.write_samples(tmp_path / "new", mv.Synthesizer(vae).fit(data), {"0": 2}, 0, {})
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"manifest.csv", "provenance.json"}


def test_provenance_says_the_guarantee_in_words(synthesizer, tmp_path):
    private = mv.Synthesizer(synthesizer.vae, mv.PrivateGaussian(3.0))
    rows = {name: torch.rand(8, *part.shape) for name, part in synthesizer.vae.modalities.items()}
    rows["side"] = torch.eye(2)[torch.arange(8) % 2]
    private.fit(mv.MultimodalDataset.from_tensors(rows, ["ill", "well"] * 4, synthesizer.vae.modalities))
    for name, end_to_end, words in (("one", False, "The density is"), ("two", True, "The samples are")):
        private.end_to_end = end_to_end
        generation.write_samples(tmp_path / name, private, {"ill": 1}, 0, {})
        guarantee = json.loads((tmp_path / name / "provenance.json").read_text("utf-8"))["guarantee"]
        assert (guarantee["epsilon"], guarantee["delta"], guarantee["unit"]) == (3.0, 1e-5, "patient")
        assert guarantee["covers"] == ("samples" if end_to_end else "density")
        assert guarantee["sentence"].startswith(words)
    generation.write_samples(tmp_path / "none", synthesizer, {"ill": 1}, 0, {})
    assert json.loads((tmp_path / "none" / "provenance.json").read_text("utf-8"))["guarantee"] is None
