"""A tuning finds what is better on validation patients, resumes, and looks at the test patients once."""

import json
import sys
from functools import partial

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.search_space import read_space
from multimodal_vae.selection import objectives, tuning
from multimodal_vae.selection.tuning import summary
from stopping import stopped_after

SPLIT = (0.5, 0.25, 0.25)
SPACE = {"model": {"latent_dim": [2, 3, 4]}, "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


@pytest.fixture
def data(make_data):
    return make_data(80)


def recipe(data, /, **more):
    table = {
        "data": {"split": SPLIT},
        "modalities": data.modalities,
        "model": {"latent_dim": 5},
        "training": {"epochs": 1, "per_class": 4, "device": "cpu", "loggers": []},
        "density": {"sampler": "gaussian"},
        "tune": SPACE,
    }
    return mv.Configuration(**table | more)


@pytest.fixture
def rated(monkeypatch):
    """Rate a run by its latent dimensions, of which 3 are best; give the samples that each rating saw."""
    seen = []

    def rate(run, train, held_out, seed):
        seen.append((run.path.name, train.ids, held_out.ids))
        sums = sum(float(x.sum()) for x in held_out.samples.values())
        return {"score": -abs(run.model.latent_dim - 3) + 0 * sums}

    monkeypatch.setitem(tuning.OBJECTIVES, "generation", rate)
    return seen


def test_an_interrupted_tuning_finds_the_best_and_sees_the_test_patients_once_at_the_end(
    data, rated, tmp_path, monkeypatch
):
    train, validation, test = data.split(*SPLIT, seed=0)
    tune = partial(mv.tune, recipe(data), data=data, trials=7, show=False)
    whole = tune(tmp_path / "whole")
    names = [f"trial-{number}" for number in range(7)]
    assert [(name, ids) for name, _, ids in rated] == [
        *((name, validation.ids) for name in names),
        (whole["best"]["run"], test.ids),
        ("trial-0", test.ids),
    ]
    assert all(ids == train.ids for _, ids, _ in rated)
    assert [trial["settings"] for trial in whole["trials"][:1]] == [{}]
    assert whole["best"]["settings"]["model.latent_dim"] == 3
    assert all(1e-4 <= trial["settings"]["training.learning_rate"] <= 1e-2 for trial in whole["trials"][1:])
    assert whole["test"] == {"best": {"score": 0.0}, "defaults": {"score": -2.0}}
    assert (
        summary(whole).splitlines()[-1].startswith("Best of 7 trials on the validation patients: model.latent_dim = 3")
    )
    best = mv.Configuration.read(tmp_path / "whole" / "best.toml")
    assert (best.model.latent_dim, best.tune) == (3, None)
    assert not any(mv.open_run(tmp_path / "whole" / name, data).splits["test"].ids for name in names)

    # The samples of test patients have no part in what is found.
    for samples in data.samples.values():
        samples[[data.ids.index(name) for name in test.ids]] = torch.nan
    with stopped_after(3, monkeypatch), pytest.raises(mv.TrainingInterrupted):
        tune(tmp_path / "again")
    resumed = tune(tmp_path / "again")
    for one, two in zip(whole["trials"], resumed["trials"], strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}
    for name in names:
        path = f"{name}/model.safetensors"
        assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "again" / path).read_bytes()

    rated.clear()
    assert str(tune(tmp_path / "again")) == str(resumed)  # NaN is not equal to itself
    assert not rated  # what is done is only read
    with pytest.raises(mv.RunError, match="another recipe, objective or seed"):
        tune(tmp_path / "again", seed=1)


def test_the_budget_ends_the_search_and_a_recipe_that_nothing_beats_stays(data, rated, tmp_path):
    result = mv.tune(recipe(data, model={"latent_dim": 3}), tmp_path / "out", 1e-6, data=data, show=False)
    assert len(result["trials"]) == 2
    assert result["best"] == result["defaults"]
    assert summary(result).endswith("No other of 2 trials is better than the recipe itself.")


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(data, rated, tmp_path, monkeypatch):
    fit = tuning.fit

    def failing(vae, *arguments, **settings):
        if vae.latent_dim < 5:
            raise mv.TrainingError("the loss is not finite")
        return fit(vae, *arguments, **settings)

    monkeypatch.setattr(tuning, "fit", failing)
    result = mv.tune(recipe(data), tmp_path / "out", data=data, trials=3, show=False)
    assert [trial["failure"] for trial in result["trials"]] == ["", *["the loss is not finite"] * 2]
    assert result["best"]["run"] == "trial-0"
    with pytest.raises(mv.RunError, match=r"every trial in .* failed, the first so: the loss is not finite"):
        mv.tune(recipe(data, model={"latent_dim": 4}), tmp_path / "none", data=data, trials=2, show=False)


def test_generated_samples_are_rated_by_use_and_likeness_and_the_model_by_likelihood(data, tmp_path, monkeypatch):
    configuration = recipe(data, training={"epochs": 30, "per_class": 8, "device": "cpu", "loggers": []})
    train, validation, _ = data.split(*SPLIT, seed=0)
    vae = configuration.build(data.classes)
    mv.fit(vae, train, validation, out=tmp_path / "run", configuration=configuration, show=False)
    run = mv.open_run(tmp_path / "run", data)
    found = objectives.generation(run, train, validation, 0)
    assert found["score"] == pytest.approx(found["tstr"] - 2 * abs(found["c2st"] - 0.5))
    assert found["tstr"] > 0.8
    joint = [MetricResult("likelihood/joint", -3.0), MetricResult("likelihood/gait", -1.0)]
    for results in (joint, []):
        monkeypatch.setattr(objectives, "likelihood_metrics", lambda *_, results=results, **__: results)
        if results:
            assert objectives.likelihood(run, train, validation, 0) == {"score": -3.0}
        else:
            with pytest.raises(mv.ConfigurationError, match="not every modality has a likelihood"):
                objectives.likelihood(run, train, validation, 0)


def test_a_score_that_is_not_finite_is_a_failure(data, tmp_path, monkeypatch):
    monkeypatch.setitem(tuning.OBJECTIVES, "generation", lambda *_: {"score": float("nan")})
    with pytest.raises(mv.RunError, match="the first so: the score is nan"):
        mv.tune(recipe(data), tmp_path / "out", data=data, trials=1, show=False)


def test_the_command_prints_what_it_found(toml, rated, tmp_path, mmvae):
    toml.write_text(f"{toml.read_text('utf-8')}\n[tune]\nmodel.latent_dim = [2, 3]\n", "utf-8")
    code, out, err = mmvae("tune", toml, "--out", tmp_path / "out", "--trials", 2, "--quiet")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "|  | validation score | test score |"
    assert out.splitlines()[-1] == f"tuned: {tmp_path / 'out'}"
    best = mv.Configuration.read(tmp_path / "out" / "best.toml")
    assert best.data.manifest == toml.parent / "manifest.csv"
    assert json.loads((tmp_path / "out" / "trials.json").read_text("utf-8"))[0]["settings"] == {}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tune": {"model.latent_dimm": [2]}}, r"\[tune\] model.latent_dimm: .*latent_dim"),
        ({"tune": {"model.latent_dim.x": [2]}}, r"latent_dim is 5, which has none"),
        ({"tune": {"model.latent_dim": [2, -1]}}, r"\[tune\] model.latent_dim: model.latent_dim: .* not -1"),
        ({"data": {"split": (0.8, 0.0, 0.2)}}, r"needs validation patients; set \[data\] split"),
        ({"density": {"fit_on": "test"}}, "whose patients must stay unseen"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_the_first_training(data, tmp_path, more, words):
    with pytest.raises(mv.ConfigurationError, match=words):
        mv.tune(recipe(data, **more), tmp_path / "out", data=data, show=False)
    assert not (tmp_path / "out" / "trial-0").exists()


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"data.seed": [1]}, "'data.seed' is no setting to tune"),
        ({"model": [1]}, "'model' is no setting"),
        ({"model.latent_dim": []}, "model.latent_dim has no choices"),
        ({"model.latent_dim": {"low": 3, "high": 2}}, "low must be below high"),
        ({"model.latent_dim": {"low": 0, "high": 2, "log": True}}, "must be above 0"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_with_the_recipe(data, space, words):
    with pytest.raises(mv.ConfigurationError, match=words):
        recipe(data, tune=space)


def test_ranges_of_whole_numbers_stay_whole_and_a_space_survives_toml(data, tmp_path):
    space = read_space({"model": {"latent_dim": {"low": 2, "high": 8}, "fusion": ["poe", {"name": "mopoe"}]}})
    assert space["model.latent_dim"].whole
    path = tmp_path / "recipe.toml"
    path.write_text(recipe(data, tune=space).to_toml(), "utf-8")
    assert mv.Configuration.read(path).tune == space


def test_without_optuna_the_extra_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(mv.ConfigurationError, match=r"needs Optuna: pip install 'multimodal-vae\[tune\]'"):
        mv.tune(recipe(data), tmp_path / "out", data=data, show=False)
    assert not (tmp_path / "out").exists()
