"""A run with a refiner: trained after the model, resumed to the last bit, and used or left out by the commands."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.privacy.adaptation import adapt_run
from multimodal_vae.privacy.run_audit import audit_run
from multimodal_vae.privacy.shadows import estimated_seconds
from multimodal_vae.report import page, run_evaluation
from multimodal_vae.run import train_run
from multimodal_vae.training import loop, refining
from sharpening import Sharpen
from stopping import stopped_after

REFINEMENT = """
[refinement.training]
steps = 4
per_class = 2
accumulate = 2
device = "cpu"
checkpoint_seconds = 1e9
[refinement.refiners.photo]
name = "sharpen"
"""
FILES = {"refiner.safetensors", "log.jsonl", "timing.jsonl"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(registry._registered, ("refiner", "sharpen"), Sharpen)


@pytest.fixture(scope="module")
def _refined(_trained, tmp_path_factory):
    """A run of the recipe of ``trained``, with a refiner."""
    root = tmp_path_factory.mktemp("refined")
    shutil.copytree(_trained / "cohort", root / "cohort")
    recipe = root / "cohort" / "short.toml"
    recipe.write_text(recipe.read_text("utf-8") + REFINEMENT, "utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry._registered, ("refiner", "sharpen"), Sharpen)
        train(recipe, root / "run")
    return root


def train(recipe, out):
    return train_run(mv.Configuration.read(recipe), out, show=False)


@pytest.fixture
def place(_refined, tmp_path):
    return Path(shutil.copytree(_refined, tmp_path / "copy"))


@pytest.fixture
def recipe(place):
    return place / "cohort" / "short.toml"


@pytest.fixture
def run(place):
    return mv.open_run(place / "run")


def left(folder):
    """Return what must be the same, bit for bit."""
    names = ("model.safetensors", "log.jsonl", "samplers/kde.safetensors")
    refiner = ("refiners/photo/refiner.safetensors", "refiners/photo/log.jsonl")
    return [(folder / name).read_bytes() for name in (*names, *refiner)]


def tensors(module):
    return torch.cat([x.double().flatten() for x in module.state_dict().values()])


def test_the_refiner_is_trained_after_the_model_and_recorded(run, trained, mmvae, tmp_path):
    assert {path.name for path in (run.path / "refiners" / "photo").iterdir()} == FILES
    assert run.status == {"state": "done", "epochs_done": 2, "epochs": 2}
    parts = [(part["kind"], part["name"]) for part in run.environment["parts"]]
    assert ("refiner", "sharpen") in parts
    assert run.configuration.refinement.training.per_class == 2
    log = [json.loads(line) for line in (run.path / "refiners" / "photo" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [4]
    assert {*log[0]} >= {"training.loss", "training.refinement.photo", "validation.loss"}
    assert torch.equal(tensors(run.model), tensors(mv.open_run(trained).model))  # of the same recipe without a refiner
    again = mv.open_run(run.path)
    assert torch.equal(tensors(again.refiners["photo"]), tensors(run.refiners["photo"]))
    ours = run.synthesizer().sample("ill", 3, seed=0)
    assert torch.equal(again.synthesizer().sample("ill", 3, seed=0)["photo"], ours["photo"])
    theirs = mv.open_run(trained).synthesizer().sample("ill", 3, seed=0)
    for without in (run.synthesizer(refine=False), run.synthesizer()):
        plain = without.sample("ill", 3, seed=0, refine=False)
        assert all(torch.equal(x, theirs[name]) for name, x in plain.items())
    for option, said in (("--refine", "refined"), ("--no-refine", "mean")):
        assert mmvae("sample", run.path, "--count", 2, option, "--out", tmp_path / said)[0] == 0
        provenance = json.loads((tmp_path / said / "provenance.json").read_text())
        assert provenance["noise_by_modality"]["photo"] == said
        assert ("refiners" in provenance) == (option == "--refine")


def test_shadow_models_have_refiners_of_their_own_seed_and_take_their_time(run):
    times = [run.path / "timing.jsonl", run.path / "refiners" / "photo" / "timing.jsonl"]
    seconds = [json.loads(line)["machine.seconds"] for path in times for line in path.read_text().splitlines()]
    assert estimated_seconds(run, 4) == pytest.approx(4 * sum(seconds))
    changed = run.configuration.with_seed(7)
    assert changed.model.seed == changed.training.seed == changed.refinement.training.seed == 7
    assert run.configuration.refinement.training.seed == 0
    times[1].unlink()
    assert math.isnan(estimated_seconds(run, 4))


def test_stopped_at_any_step_it_goes_on_to_the_same_end(recipe, run, tmp_path, monkeypatch):
    whole = left(run.path)
    out = tmp_path / "stopped"
    with stopped_after(2, monkeypatch, loop), pytest.raises(mv.TrainingInterrupted, match="training was interrupted"):
        train(recipe, out)
    assert not (out / "refiners").exists()
    for steps in (1, 2):
        with (
            stopped_after(steps, monkeypatch, refining),
            pytest.raises(mv.TrainingInterrupted, match=r"refiner of modality 'photo' was interrupted .*; rerun"),
        ):
            train(recipe, out)
        assert mv.open_run(out).status["state"] == "refining"
        assert (out / "refiners" / "photo" / "checkpoint.safetensors").is_file()
        assert not (out / "checkpoint.safetensors").exists()
        with pytest.raises(mv.RunError, match="no trained refiner of 'photo' yet; rerun the training"):
            mv.open_run(out).synthesizer()
        assert mv.open_run(out).synthesizer(refine=False).sample("ill", 2, seed=0)
    (out / "refiners" / "photo" / ".refiner.safetensors.123").write_bytes(b"half written")
    train(recipe, out)
    assert left(out) == whole
    assert {path.name for path in (out / "refiners" / "photo").iterdir()} == FILES
    assert mv.open_run(out).status["state"] == "done"
    train(recipe, out)  # only reads it
    assert left(out) == whole


def test_a_damaged_refiner_is_named(run):
    path = run.path / "refiners" / "photo" / "refiner.safetensors"
    shutil.copy(run.path / "model.safetensors", path)
    with pytest.raises(mv.RunError, match=r"refiner.safetensors does not match"):
        mv.open_run(run.path).synthesizer()
    path.unlink()
    path.symlink_to(run.path / "model.safetensors")
    with pytest.raises(mv.RunError, match="is a link"):
        mv.open_run(run.path).synthesizer()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("refiners.photo", "refiners.phoot", r"\[refinement.refiners\] has 'phoot', which is no modality; .*'photo'"),
        ('"sharpen"', '"sharpne"', "no refiner 'sharpne'; did you mean 'sharpen'"),
        ('"sharpen"', '"sharpen"\nwidht = 5', "no setting 'widht'; did you mean 'width'"),
        ("steps = 4", "stpes = 4", r"\[refinement.training\] has no key 'stpes'; did you mean 'steps'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_training(recipe, old, new, words):
    recipe.write_text(recipe.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(mv.MultimodalVAEError, match=words):
        mv.Configuration.read(recipe)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("refiners.photo", "refiners.blood", "the refiner of modality 'blood': no axes of space"),
        (
            "per_class = 2",
            "per_class = 2\nunlabeled = 1",
            "refiner of modality 'photo': all .* are labeled",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_model_is(recipe, old, new, words, tmp_path):
    recipe.write_text(recipe.read_text("utf-8").replace(REFINEMENT, REFINEMENT.replace(old, new)), "utf-8")
    with pytest.raises(mv.MultimodalVAEError, match=words):
        train(recipe, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_refiner_is_refused_on_resume(recipe, run):
    recipe.write_text(recipe.read_text("utf-8") + "width = 5\n", "utf-8")
    with pytest.raises(mv.RunError, match=r"\[refinement.refiners.photo\] width was 3 and is 5"):
        train(recipe, run.path)


def test_evaluations_and_audits_rate_refined_samples_unless_told_otherwise(run, monkeypatch):
    rated = []

    def stop(synthesizer, *given, **more):
        rated.append([*synthesizer.refiners])
        raise mv.SamplerError("far enough")

    monkeypatch.setattr(mv.Synthesizer, "decode", stop)
    monkeypatch.setattr(run_evaluation, "load_judges", lambda *_: [])
    for rate in (run_evaluation.measure, audit_run):
        for refine in (True, False):
            with pytest.raises(mv.SamplerError, match="far enough"):
                rate(run, refine=refine)
    assert rated == [["photo"], []] * 2


def test_the_report_has_the_refiners_loss_beside_the_models(run):
    titles = [chart.title for chart in page._curves(run)]
    assert titles[0] == "loss"
    assert titles[-1] == "refinement.photo"
    assert titles.count("loss") == 1


def test_an_adapted_run_has_the_refiners_that_public_people_taught(run, tmp_path):
    cohort = run.configuration.data.manifest
    others = cohort.with_name("others.csv")
    header, *rows = cohort.read_text("utf-8").splitlines()
    for number, row in enumerate(rows):
        cells = row.split(",")
        cells[1], cells[3], cells[4] = f"other {cells[1]}", "", f"{number}.5 1 2"
        rows[number] = ",".join(cells)
    others.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    private = {"name": "private_gaussian", "epsilon": 3.0, "delta": 1e-3}
    adapted = adapt_run(run, others, private, tmp_path / "clinic", count=2)
    file = "refiners/photo/refiner.safetensors"
    assert (adapted.path / file).read_bytes() == (run.path / file).read_bytes()
    guarantee = json.loads((adapted.path / "guarantee.json").read_text())
    assert file in guarantee["sha256"]
    said = json.loads((adapted.path / "samples" / "provenance.json").read_text())
    assert said["noise_by_modality"]["photo"] == "refined"
    assert said["guarantee"]["covers"] == "samples"
    (adapted.path / file).write_bytes(b"changed")
    with pytest.raises(mv.RunError, match="has changed since the guarantee"):
        mv.open_run(adapted.path).synthesizer()
