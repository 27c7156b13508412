"""Means over folds are those of runs by hand, and the test patients take no part."""

import json
from functools import partial

import joblib
import pytest
import torch
from numpy.testing import assert_allclose

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.report import run_evaluation
from multimodal_vae.report.records import read_metrics
from multimodal_vae.report.run_evaluation import write_evaluation
from multimodal_vae.selection import cross_validation
from multimodal_vae.selection.cross_validation import summarize
from stopping import stopped_after

SPLIT, SEED = (0.5, 0.2, 0.3), 4


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Evaluate by two metrics that cost nothing, with judges that nobody has trained."""

    def evaluate(train, held_out, generated, *_, **__):
        means = [float(torch.cat([x.flatten() for x in each.values.values()]).mean()) for each in (held_out, generated)]
        return [MetricResult("real mean", means[0]), MetricResult("mean", means[1], interval=(0, 1), real=means[0])]

    def judges(folder, run, training):
        return [Judge({name: part.shape for name, part in run.model.modalities.items()}, run.model.classes)]

    monkeypatch.setattr(run_evaluation, "evaluate", evaluate)
    monkeypatch.setattr(run_evaluation, "load_judges", judges)
    monkeypatch.setattr(run_evaluation, "likelihood_metrics", lambda *_, **__: [])
    monkeypatch.setattr(run_evaluation, "report_page", lambda *_: "")


@pytest.fixture
def data(make_data):
    return make_data(80, patients=[f"p{row // 2}" for row in range(80)])


def recipe(data, **more):
    return mv.Configuration(
        data={"split": SPLIT, "seed": SEED},
        modalities=data.modalities,
        model={"latent_dim": 2},
        training={"epochs": 2, "per_class": 4, "device": "cpu", "loggers": []},
        density={"sampler": "gaussian"} | more,
    )


def by_hand(data, out):
    """Return the value of each metric per fold, from runs that nothing here has arranged."""
    train, validation, test = data.split(*SPLIT, seed=SEED)
    known = data.subset(row for row, name in enumerate(data.ids) if name not in test.ids)
    found = []
    for number, rows in enumerate(split_by_patient(known.patients, known.labels.tolist(), [0.5, 0.5], SEED)):
        rest = known.subset(row for row in range(len(known)) if row not in rows)
        share = len(validation) / (len(train) + len(validation))
        first, second, _ = rest.split(1 - share, share, 0.0, seed=SEED)
        vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
        configuration = recipe(data).with_data(split="passed")
        path = out / f"run-{number}"
        mv.fit(vae, first, second, known.subset(rows), out=path, configuration=configuration, show=False)
        write_evaluation(mv.open_run(path, known), count=20)
        found.append({result.name: result.value for result in read_metrics(path)["results"]})
    return found


def test_an_interrupted_cross_validation_comes_to_the_means_by_hand_without_the_test_patients(
    data, tmp_path, monkeypatch
):
    expected = by_hand(data, tmp_path)
    *_, test = data.split(*SPLIT, seed=SEED)
    for samples in data.samples.values():
        samples[[data.ids.index(name) for name in test.ids]] = torch.nan
    validate = partial(mv.cross_validate, recipe(data), tmp_path / "out", 2, data=data, count=20, show=False)
    with stopped_after(3, monkeypatch), pytest.raises(mv.TrainingInterrupted):
        validate()
    result = validate()
    assert [[each.name for each in fold] for fold in result.folds] == [list(fold) for fold in expected]
    for each in result.results:
        values = torch.tensor([fold[each.name] for fold in expected], dtype=torch.float64)
        assert_allclose([each.value, each.spread], [values.mean(), values.std()], rtol=1e-12)
        assert each.seeds == 2
    patients = [{*mv.open_run(path, data).splits["test"].patients} for path in result.runs]
    assert not patients[0] & patients[1]
    assert not (patients[0] | patients[1]) & {*test.patients}

    written = json.loads((tmp_path / "out" / "cross-validation.json").read_text("utf-8"))
    assert [fold["patients"] for fold in written["folds"]] == [len(each) for each in patients]
    assert result.table() == (tmp_path / "out" / "cross-validation.md").read_text("utf-8").rstrip("\n")
    monkeypatch.setattr(cross_validation, "write_evaluation", None)  # nothing is evaluated twice
    assert validate() == result
    with pytest.raises(mv.RunError, match="on other train samples"):
        mv.cross_validate(recipe(data), tmp_path / "out", 3, data=data, show=False)


def test_the_command_runs_folds_in_processes_of_their_own(tmp_path, monkeypatch, mmvae):
    rows = [f"s{n},{'ab'[n % 2]},{n % 2 + n % 5 / 5},{n % 3 or ''},{'xy'[n // 2 % 2]}" for n in range(48)]
    (tmp_path / "manifest.csv").write_text("\n".join(["sample_id,label,dose,visits,site", *rows, ""]), "utf-8")
    (tmp_path / "recipe.toml").write_text(
        '[data]\nmanifest = "manifest.csv"\nsplit = [0.8, 0.0, 0.2]\ncache = false\ncovariates = ["site"]\n'
        '[modalities.blood]\nname = "table"\ncolumns = ["dose", "visits"]\n'
        '[training]\nepochs = 1\nper_class = 4\n[density]\nsampler = "gaussian"\n',
        "utf-8",
    )
    words = (tmp_path / "recipe.toml", "--out", tmp_path / "out", "--folds", 2, "--jobs", 2, "--count", 10)
    with joblib.parallel_config(backend="sequential"):  # what each process does, in this one
        code, out, err = mmvae("cross-validate", *words)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("| metric | mean ± spread |")
    assert out.splitlines()[-1] == f"cross-validated: {tmp_path / 'out'}"
    assert mv.open_run(tmp_path / "out" / "fold-2").model.covariates
    assert all(mv.open_run(tmp_path / "out" / f"fold-{n}").status["state"] == "done" for n in (1, 2))


def test_what_some_folds_lack_is_the_mean_of_the_others():
    folds = ({"a": 1.0, "b": 3.0}, {"a": 2.0})
    one, two = ({"results": [MetricResult(*each) for each in fold.items()]} for fold in folds)
    found = {each.name: (each.value, each.spread, each.seeds) for each in summarize([one, two])}
    assert found == {"a": (1.5, pytest.approx(0.5**0.5), 2), "b": (3.0, None, 1)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"folds": 1}, "folds"),
        ({"jobs": 2}, "data in memory cannot be shared"),
        ({"folds": 50}, "28 training and validation patients, too few for 50 folds"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_at_once(data, tmp_path, arguments, words):
    with pytest.raises(mv.MultimodalVAEError, match=words):
        mv.cross_validate(recipe(data), tmp_path / "out", data=data, show=False, **arguments)


def test_densities_of_test_patients_are_refused(data, tmp_path):
    with pytest.raises(mv.ConfigurationError, match=r'\[density\] fit_on is "test", whose patients must stay unseen'):
        mv.cross_validate(recipe(data, fit_on="test"), tmp_path / "out", data=data, show=False)
