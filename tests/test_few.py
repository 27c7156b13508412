"""Few samples, few labels, few modalities: the cases of docs/how-to/few-samples.md."""

import csv
from pathlib import Path

import numpy as np
import pytest

import multimodal_vae as mv

# The command line prints warnings as one line each.
pytestmark = pytest.mark.filterwarnings("always::multimodal_vae.MultimodalVAEWarning")

RECIPE = """
[data]
manifest = "manifest.csv"
split = [1, 0, 0]
{data}

[modalities.blood]
name = "vector"
size = 3
hidden = 8

[model]
latent_dim = 4

[training]
epochs = 1
per_class = 4
device = "cpu"
{training}
"""


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Return a function that writes a manifest with given numbers of samples per label, and a recipe."""
    monkeypatch.chdir(tmp_path)

    def write(data="", training="", **counts):
        rng = np.random.default_rng(0)
        labels = [label for label, count in counts.items() for _ in range(count)]
        with open("manifest.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["sample_id", "label", "blood"])
            for number, label in enumerate(labels):
                rows.writerow(
                    [f"s{number}", label.strip("_"), " ".join(f"{x:.3f}" for x in rng.normal(len(label), 1, 3))]
                )
        (tmp_path / "recipe.toml").write_text(RECIPE.format(data=data, training=training))

    return write


def test_a_class_of_none_is_refused_before_the_training(prepare, mmvae):
    prepare('classes = ["ill", "rare"]', ill=8)
    code, _, err = mmvae("train", "recipe.toml", "--out", "run", "--quiet")
    assert code == 2
    assert "class 'rare' has no training sample" in err
    assert "remove the class" in err


def test_a_class_of_one_is_trained_on_and_has_no_density(prepare, mmvae):
    prepare(ill=8, rare=1)
    code, out, err = mmvae("train", "recipe.toml", "--out", "run", "--quiet")
    assert (code, out) == (0, "trained: run\n")
    assert "mmvae: note: the class 'rare' has no density" in err
    assert mmvae("sample", "run", "--count", 2, "--out", "new")[:2] == (0, "generated: new, ill 2\n")
    code, _, err = mmvae("sample", "run", "--label", "rare", "--out", "rare")
    assert code == 2
    assert err.startswith("mmvae: class 'rare': 'gaussian' needs at least 2 latents, not 1")
    assert mmvae("sample", "run", "--label", "rare", "--count", 2, "--sampler", "prior", "--out", "rare")[0] == 0


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("sampler", ["kde", "gmm", "interpolation"])
def test_a_class_of_two_or_five_is_learned(prepare, mmvae, count, sampler):
    prepare(ill=8, rare=count)
    assert mmvae("train", "recipe.toml", "--out", "run", "--quiet")[0] == 0
    options = ("--label", "rare", "--count", 3, "--sampler", sampler, "--out", "new")
    assert mmvae("sample", "run", *options)[:2] == (0, "generated: new, rare 3\n")


def test_a_sampler_that_no_class_is_large_enough_for_does_not_lose_the_training(prepare, mmvae):
    prepare(ill=1, well=1)
    code, out, err = mmvae("train", "recipe.toml", "--out", "run", "--quiet")
    assert (code, out) == (0, "trained: run\n")
    assert "no density could be fitted: class 'ill': 'gaussian' needs at least 2 latents" in err
    assert mmvae("sample", "run", "--out", "new")[0] == 2


def test_no_label_at_all_is_refused_with_how_to_go_on(prepare, mmvae):
    prepare(_=8)
    code, out, err = mmvae("train", "recipe.toml", "--out", "run", "--quiet")
    assert (code, out) == (2, "")
    assert "no training sample has a label" in err
    assert "unlabeled" in err


def test_without_any_class_there_is_a_latent_and_nothing_to_draw(prepare, mmvae):
    prepare(training="unlabeled = 4", _=8)
    assert mmvae("train", "recipe.toml", "--out", "run", "--quiet")[0] == 0
    assert mmvae("encode", "run", "manifest.csv", "--out", "latents.npz")[0] == 0
    code, _, err = mmvae("sample", "run", "--out", "new")
    assert code == 2
    assert "has no classes" in err


class Items:
    """A data set of another library, with NaN for missing labels."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        for item in self.data:
            yield item | {"label": item["label"] if item["label"] >= 0 else float("nan")}


@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan"), ""])
def test_labels_of_integers_strings_and_none_are_one_kind(missing):
    vectors = {"x": {"name": "vector", "size": 2}}
    data = mv.MultimodalDataset.from_tensors({"x": np.zeros((5, 2))}, [10, "9", None, 9, missing], vectors)
    assert data.classes == ["9", "10"]  # by their size
    assert data.labels.tolist() == [1, 0, -1, 0, -1]
    again = mv.MultimodalDataset.from_dataset(list(Items(data)), vectors, data.classes)
    assert again.labels.tolist() == data.labels.tolist()


def test_a_modality_that_no_training_sample_has_is_refused_by_name(prepare, mmvae):
    prepare(ill=8)
    recipe, manifest = Path("recipe.toml"), Path("manifest.csv")
    recipe.write_text(recipe.read_text() + '[modalities.age]\nname = "vector"\nsize = 1\n')
    header, *rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([f"{header},age", *(f"{row}," for row in rows), ""]))
    code, _, err = mmvae("train", "recipe.toml", "--out", "run", "--quiet")
    assert code == 2
    assert "no training sample has the modality 'age'" in err


def test_an_evaluation_needs_two_classes(prepare, mmvae):
    prepare(ill=20, rare=2)
    recipe = Path("recipe.toml")
    recipe.write_text(recipe.read_text().replace("[1, 0, 0]", "[0.5, 0, 0.5]"))
    assert mmvae("train", "recipe.toml", "--out", "run", "--quiet")[0] == 0
    code, _, err = mmvae("evaluate", "run")
    assert code == 2
    assert "1 of 2 classes have 2 complete samples in the training" in err
    assert "needs two such classes" in err


def test_a_sample_that_the_fusion_cannot_take_is_named_before_the_training(make_data, make_model):
    data = make_data(present=np.array([[True, row != 17] for row in range(24)]))
    with pytest.raises(mv.DataError, match=r"1 of 24 training samples lack a modality, such as '17': .*lacks 'gait'"):
        mv.fit(make_model(data, fusion="concat"), data, epochs=1, per_class=2, device="cpu", show=False)
    mv.fit(make_model(data), data, epochs=1, per_class=2, device="cpu", show=False)


def test_a_recording_of_one_channel_may_be_flat_on_the_disk(tmp_path):
    np.save(tmp_path / "flat.npy", np.arange(8.0))
    assert mv.Signal(length=8).read(tmp_path / "flat.npy").shape == (1, 8)
    assert mv.Signal(length=8, channels=2).read(tmp_path / "flat.npy").shape == (8,)


@pytest.mark.parametrize(("shape", "advice"), [((8, 1), True), ((4, 2), False), ((8,), True)])
def test_a_shape_that_differs_by_ones_is_told_what_to_do(shape, advice):
    with pytest.raises(mv.DataError, match=r"'signal' expects \(1, 8\)") as caught:
        mv.MultimodalDataset.from_tensors({"x": np.zeros((2, *shape))}, ["a", "b"], {"x": mv.Signal(length=8)})
    assert ("reshape it to (1, 8)" in str(caught.value)) == advice
