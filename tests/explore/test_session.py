"""Sliders move samples through the latent of a class as the formula says, and no data of patients is read for it."""

import base64
import io
import json
import shutil

import pytest
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.explore import neighbors as neighbors_of
from multimodal_vae.explore.neighbors import PATIENT, SHOWN
from multimodal_vae.explore.page import explore_page
from multimodal_vae.explore.session import Session
from multimodal_vae.explore.view import FARTHEST, View
from multimodal_vae.synthesis.marks import NOTICE


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(neighbors_of, "PER_CLASS", 12)


@pytest.fixture
def run(trained):
    return mv.open_run(trained)


@pytest.fixture
def session(run):
    return Session(run.synthesizer("gaussian"))


def picture_of(uri):
    return Pillow.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_an_unmoved_sample_is_the_one_that_sample_draws(session):
    seed = next(seed for seed in range(20) if max(map(abs, session.position("ill", seed))) < FARTHEST)
    view = View(label="ill", position=session.position("ill", seed), seed=seed)
    drawn = session.synthesizer.latents("ill", 1, seed)
    torch.testing.assert_close(session.latent(view), drawn, atol=1e-3, rtol=0)  # positions have four decimals
    expected = session.synthesizer.decode(drawn, "ill", "mean", seed)
    for name, x in session.samples(view).items():
        torch.testing.assert_close(x, expected[name][0], atol=1e-2, rtol=0)


def test_without_position_and_seed_a_view_is_the_class_mean(session):
    mean = session.synthesizer.latents("ill", 1, seed=0, temperature=0.0)
    torch.testing.assert_close(session.latent(View(label="ill")), mean)
    position = session.position("ill", 1)
    torch.testing.assert_close(session.latent(View(label="ill", position=position, seed=1, temperature=0)), mean)


def test_a_position_is_in_standard_deviations_of_the_class(session):
    directions = session.directions("well")
    count = len(directions.deviations)
    assert 0 < count <= 4  # dimensions of the latent
    moved = session.latent(View(label="well", position=(2.0, *[0.0] * (count - 1))))[0]
    torch.testing.assert_close(moved, directions.mean + 2 * directions.deviations[0] * directions.vectors[0])
    half = session.latent(View(label="well", position=(2.0, *[0.0] * (count - 1)), temperature=0.5))[0]
    torch.testing.assert_close(half - directions.mean, (moved - directions.mean) / 2)


def test_a_move_changes_the_pictures_of_all_modalities_and_marks_them(session):
    count = len(session.directions("ill").deviations)
    views = [View(label="ill", position=(place, *[0.0] * (count - 1))) for place in (-3.0, 3.0)]
    first, second = (session.draw(view)["pictures"] for view in views)
    assert first.keys() == {"photo", "blood"}
    for name in first:
        assert first[name] != second[name]
        assert picture_of(first[name]).text["Warning"] == NOTICE


def test_a_hidden_modality_is_inferred_from_the_others(run, make_data, make_model):
    assert Session(run.synthesizer("gaussian")).hideable == ["photo", "blood"]
    data = make_data()
    session = Session(mv.Synthesizer(make_model(data, fusion="poe"), "gaussian").fit(data))
    view = View(label="ill", seed=0, hidden="gait")
    samples = session.samples(view)
    expected = session.synthesizer.vae.translate({"blood": samples["blood"][None]}, "gait")[0]
    assert torch.equal(session.infer(view, samples)["gait"], expected)
    assert list(session.draw(view)["inferred"]) == ["gait"]


def test_a_fusion_that_needs_all_modalities_hides_none(make_data, make_model):
    data = make_data()
    session = Session(mv.Synthesizer(make_model(data, fusion="concat"), "gaussian").fit(data))
    assert session.hideable == []
    with pytest.raises(ConfigurationError, match="'gait' cannot be hidden; this model needs every modality"):
        session.draw(View(label="ill", hidden="gait"))
    assert b"so none can be hidden" in explore_page("run", session).content


def test_a_single_modality_can_be_explored(make_data, make_model):
    data = make_data().only("blood")
    data = mv.MultimodalDataset.from_tensors(
        {"blood": data.samples["blood"]}, [data.classes[k] for k in data.labels], {"blood": data.modalities["blood"]}
    )
    session = Session(mv.Synthesizer(make_model(data), "gaussian").fit(data))
    assert session.hideable == []
    assert list(session.draw(View(label="ill", seed=0))["pictures"]) == ["blood"]
    assert b"Hide a modality" not in explore_page("run", session).content


def test_neighbors_are_synthetic_unless_real_ones_are_wanted(run, session):
    view = View(label="ill", seed=0)
    found = session.neighbors(view)
    assert len(found) == SHOWN
    assert not any(each["real"] for each in found)
    assert [each["distance"] for each in found] == sorted(each["distance"] for each in found)
    data = run.splits["train"]
    both = Session(run.synthesizer("gaussian"), data).neighbors(view)
    assert both[:SHOWN] == found
    assert [each["real"] for each in both[SHOWN:]] == [True] * SHOWN
    nearest = (run.model.embed(data) - session.latent(view)).norm(dim=1).argmin()
    assert both[SHOWN]["label"] == data.classes[data.labels[nearest]]
    assert {picture_of(uri).text["Warning"] for uri in both[SHOWN]["pictures"].values()} == {PATIENT}


def test_a_run_is_explored_without_the_data_of_its_patients(trained, session):
    shutil.rmtree(trained.parent / "cohort")
    session = Session(mv.open_run(trained).synthesizer("gaussian"))
    view = View(label="well", seed=2, position=session.position("well", 2))
    assert len(session.describe("well")) == len(view.position)
    assert session.draw(view)
    assert session.neighbors(view)


def test_a_saved_figure_carries_the_notice(session):
    figure = session.figure(View(label="ill", seed=0, hidden="photo"))
    assert figure.get_supxlabel() == NOTICE
    assert len(figure.axes) == 4


def test_covariates_are_those_of_the_sample_or_the_fixed_ones(make_data, make_model):
    data = make_data(covariates={"site": ["A", "B", "B"] * 8})
    synthesizer = mv.Synthesizer(make_model(data, covariates=data.covariate_types), "gaussian").fit(data)
    view = View(label="ill", seed=0)
    free = Session(synthesizer).draw(view)["covariates"]
    assert free in ("site A", "site B")
    assert Session(synthesizer, covariates={"site": "A"}).draw(view)["covariates"] == "site A"


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"label": "dead"}, SamplerError, "there is no class 'dead'"),
        ({"label": "ill", "position": [0.0] * 9}, ConfigurationError, "position has 9 numbers"),
        ({"label": "ill", "position": [99.0]}, ConfigurationError, "the view is invalid: position"),
        ({"label": "ill", "temperature": -1}, ConfigurationError, "temperature"),
        ({"label": "ill", "seed": -1}, ConfigurationError, "seed"),
        ({"label": "ill", "x": 1}, ConfigurationError, "x"),
        ({}, ConfigurationError, "label"),
        ({"label": "ill", "hidden": "phoot"}, ConfigurationError, "'phoot' cannot be hidden; did you mean 'photo'"),
    ],
)
def test_an_invalid_view_is_refused_by_name(session, fields, error, words):
    with pytest.raises(error, match=words):
        session.draw(View.read(json.dumps(fields)))


def test_tables_with_gaps_and_volumes_can_be_explored(make_model):
    generator = torch.Generator().manual_seed(0)
    samples = {
        "lab": torch.randn(16, 2, generator=generator),
        "scan": torch.rand(16, 1, 4, 4, 4, generator=generator),
    }
    samples["lab"][0, 0] = torch.nan
    parts = {
        "lab": mv.Table(columns={"hb": "real", "age": "real"}, hidden=8),
        "scan": mv.Volume(size=(4, 4, 4), width=4),
    }
    data = mv.MultimodalDataset.from_tensors(samples, ["ill", "well"] * 8, parts)
    session = Session(mv.Synthesizer(make_model(data, fusion="poe"), "gaussian").fit(data))
    view = View(label="ill", seed=0, hidden="lab")
    answer = session.draw(view)
    assert (list(answer["pictures"]), list(answer["inferred"])) == (["lab", "scan"], ["lab"])
    assert session.describe("ill")
    assert session.neighbors(view)
    assert session.figure(view).get_supxlabel() == NOTICE
