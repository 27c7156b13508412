"""Plugins of ``mmvae new`` keep every law; ``make test-authors`` installs them."""

import importlib.util
import subprocess
import sys
import tomllib

import pytest
from packaging.version import Version

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.scaffold.distribution import TEMPLATES, new_distribution
from multimodal_vae.testing import laws

NAMES = {"modality": "emg", "fusion": "blend", "metric_loss": "pull-push", "sampler": "one-blob", "refiner": "crisp"}
CLASSES = {"modality": "EMG", "fusion": "Blend", "metric_loss": "PullPush", "sampler": "OneBlob", "refiner": "Crisp"}


@pytest.fixture(params=TEMPLATES)
def kind(request):
    return request.param


@pytest.fixture
def written(kind, tmp_path):
    return new_distribution(kind, NAMES[kind], tmp_path / "out")


def test_its_entry_point_names_the_class_that_is_there(kind, written):
    project = tomllib.loads((written / "pyproject.toml").read_text("utf-8"))["project"]
    ((name, value),) = project["entry-points"][registry.KINDS[kind]].items()
    module, _, attribute = value.partition(":")
    assert (name, attribute) == (NAMES[kind], CLASSES[kind])
    assert (written / f"{module.replace('.', '/')}.py").is_file()
    assert project["name"] == f"multimodal-vae-{NAMES[kind]}"
    version = Version(mv.__version__)
    assert project["dependencies"] == [f"multimodal-vae>={version.major}.{version.minor},<0.{version.minor + 1}"]


def load(kind, written):
    plain = NAMES[kind].replace("-", "_")
    path = written / f"multimodal_vae_{plain}" / f"{plain}.py"
    spec = importlib.util.spec_from_file_location(f"written_{plain}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, CLASSES[kind])


def test_its_part_keeps_every_law(kind, written):
    for law in laws(kind):
        law(load(kind, written)())


def test_a_modality_keeps_every_law_as_a_volume(tmp_path):
    written = new_distribution("modality", "emg", tmp_path / "out")
    part = load("modality", written)(channels=2, size=[4, 5, 6], width=4)
    for law in laws("modality"):
        law(part)


def test_it_is_in_good_style(written):
    for command in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=written, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_no_placeholder_is_left(written):
    assert not [path for path in written.rglob("*") if path.is_file() and "$" in path.read_text("utf-8")]


@pytest.mark.parametrize("name", ["", "EEG", "a--b", "1d", "a b", "a/b", "../a", "class", "-a", "é"])
def test_what_is_no_name_is_refused(kind, name, tmp_path):
    with pytest.raises(mv.PluginError, match="no name for a"):
        new_distribution(kind, name, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken_is_refused_with_its_owner(tmp_path):
    with pytest.raises(mv.PluginError, match="'kde' exists already, in multimodal-vae"):
        new_distribution("sampler", "kde", tmp_path / "out")


def test_a_place_that_is_taken_is_left_alone(written, kind):
    kept = (written / "README.md").read_bytes()
    with pytest.raises(mv.RunError, match="already exists"):
        new_distribution(kind, "other", written)
    assert (written / "README.md").read_bytes() == kept


def test_a_kind_without_a_template_is_refused(tmp_path):
    with pytest.raises(mv.PluginError, match="no template for a 'modalty'; did you mean 'modality'"):
        new_distribution("modalty", "emg", tmp_path / "out")


def test_the_shell_writes_where_it_is_told_and_beside_you_otherwise(mmvae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = mmvae("new", "metric-loss", "pull")
    assert (status, err) == (0, "")
    assert "multimodal-vae-pull" in out
    assert (tmp_path / "multimodal-vae-pull" / "pyproject.toml").is_file()
    assert mmvae("new", "sampler", "blob", "--out", tmp_path / "here")[0] == 0
    assert (tmp_path / "here" / "pyproject.toml").is_file()


def test_check_says_in_words_which_laws_hold(mmvae):
    status, out, err = mmvae("check", "metric-loss", "triplet", "--set", "margin=0.5", "--set", "distance=cosine")
    assert (status, err) == (0, "")
    *lines, summary = out.splitlines()
    assert [line.split()[:2] for line in lines] == [["holds", f"{law.name}:"] for law in laws("metric_loss")]
    assert summary == f"Triplet(margin=0.5, distance='cosine', mining='semi-hard'): {len(lines)} laws hold, 0 broken"


class Sour(mv.Triplet):
    def forward(self, latents, labels):
        return -super().forward(latents, labels)


def test_check_says_what_is_broken_and_exits_with_1(mmvae, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    mv.register(Sour)
    status, out, err = mmvae("check", "metric-loss", "sour")
    assert (status, err) == (1, "")
    (line,) = [line for line in out.splitlines() if line.startswith("BROKEN")]
    assert line.startswith("BROKEN  lowest_for_collapsed_distant_classes: actual: ")
    assert "; expected: " in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["modalty", "image"], ["'modalty' is no kind", "did you mean 'modality'"]),
        (["modality", "imgae"], ["did you mean 'image'"]),
        (["modality", "signal"], ["needs the setting 'length'"]),
        (["modality", "signal", "--set", "length"], ["KEY=VALUE", "'length'"]),
        (["modality", "signal", "--set", "length=x"], ["'length'", "not 'x'"]),
    ],
)
def test_check_refuses_what_it_cannot_try_in_one_line(mmvae, arguments, words):
    status, out, err = mmvae("check", *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert all(word in err for word in words), err
