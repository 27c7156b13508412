"""A run with tables that miss entries: trained, sampled, completed, evaluated and audited."""

import csv
import importlib
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.evaluation.features import with_gaps_of
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.run import train_run
from multimodal_vae.synthesis.conditional import INTERVALS, write_completion

HEADER = ["sample_id", "label", "age", "sex", "hb", "site"]
RECIPE = """
[data]
manifest = "manifest.csv"
join = ["gait.csv"]

[modalities.person]
name = "table"
columns = ["age", "sex", "hb", "site"]
hidden = 8

[modalities.gait]
name = "table"
columns = { "step_*" = "positive" }
hidden = 8

[model]
latent_dim = 3

[training]
steps = 8
device = "cpu"

[density]
sampler = "gaussian"
"""


def lines(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    rows, gait = [], []
    for i in range(60):
        sick = i % 2
        hb = f"{rng.normal(14 - sick, 1):.1f}" if rng.random() > 0.2 else ""
        rows.append(
            [f"s{i}", ["well", "ill"][sick], rng.poisson(40), "fm"[rng.integers(2)], hb, "ABC"[rng.integers(3)]]
        )
        gait.append([f"s{i}", *(f"{value:.4f}" for value in np.exp(rng.normal(sick, 1, 2)))])
    for name, header, table in (
        ("manifest", HEADER, rows),
        ("gait", ["sample_id", "step_length", "step_time"], gait[:-2]),
    ):
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *table])
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")
    return train_run(mv.Configuration.read(folder / "recipe.toml"), folder / "run", show=False)


def test_the_run_stores_the_types_and_resumes_with_them(run):
    stored = tomllib.loads((run.path / "config.toml").read_text("utf-8"))["modalities"]
    assert {name: column["type"] for name, column in stored["person"]["columns"].items()} == {
        "age": "count",
        "sex": "binary",
        "hb": "real",
        "site": "categorical",
    }
    again = train_run(mv.Configuration.read(run.path.parent / "recipe.toml"), run.path, show=False)
    assert again.configuration.to_toml() == run.configuration.to_toml()


def test_generated_manifests_have_a_column_of_each_type(run, tmp_path):
    mv.write_samples(tmp_path / "new", run.synthesizer(), {"ill": 5}, 0, {})
    rows = lines(tmp_path / "new" / "manifest.csv")
    assert list(rows[0]) == ["sample_id", "label", *HEADER[2:], "step_length", "step_time", "origin"]
    for row in rows:
        assert row["age"].isdecimal()
        assert row["sex"] in "fm"
        assert row["site"] in "ABC"
        assert float(row["step_time"]) > 0
        assert len(row["hb"].partition(".")[2]) == 1
    assert run.read(tmp_path / "new" / "manifest.csv").present.all()


def test_completion_keeps_what_is_known_and_fills_the_rest_with_intervals(run, tmp_path):
    filled = write_completion(tmp_path / "new", run.model, run.data, {})
    old, new = lines(run.data.source), lines(tmp_path / "new" / "manifest.csv")
    missing = [row["sample_id"] for row in old if not row["hb"]]
    assert filled == {"person": len(missing), "gait": 4}
    for before, after in zip(old, new, strict=True):
        assert all(after[name] == before[name] for name in HEADER if before[name])
        assert after["hb"]
        assert after["step_time"]
        assert ("1 entries of person (expected value)" in after["origin"]) == (before["sample_id"] in missing)
    intervals = lines(tmp_path / "new" / INTERVALS)
    assert [row["sample_id"] for row in intervals if row["column"] == "hb"] == missing
    assert all(float(row["low"]) <= float(row["high"]) for row in intervals)
    write_completion(tmp_path / "drawn", run.model, run.data, {}, seed=1)
    drawn = lines(tmp_path / "drawn" / "manifest.csv")
    assert [row["hb"] for row in drawn] != [row["hb"] for row in new]


def test_a_correlated_residual_tells_a_missing_element():
    """With the factors of a known correlation, the completion is the conditional normal distribution's."""
    vector = mv.Table(columns={"a": "real", "b": "real"})
    decoded = vector.decoder(2)(torch.zeros(5000, 2)).detach()
    dependence = NoiseDependence(vector)
    dependence.factors[0] = torch.tensor([0.8**0.5, 0.8**0.5])
    likelihood = vector.likelihood(decoded)
    known = likelihood.icdf(torch.special.ndtr(torch.full((5000, 2), 1.5)))
    known[:, 1] = torch.nan
    torch.manual_seed(0)
    drawn = dependence.complete(vector, decoded, known)[:, 1]
    scores = torch.special.ndtri(likelihood.cdf(torch.stack([known[:, 0], drawn], 1))[:, 1])
    assert float(scores.mean()) == pytest.approx(0.8 * 1.5, abs=0.04)  # four standard errors
    assert float(scores.std()) == pytest.approx(0.6, abs=0.04)
    middle = dependence.complete(vector, decoded, known, drawn=False)[0, 1]
    assert float(middle) == pytest.approx(float(drawn.median()), abs=0.04)


def test_intervals_hold_as_many_as_they_say():
    """Of entries drawn from the model itself, nine of ten lie in their intervals."""
    torch.manual_seed(0)
    table = mv.Table(columns={"a": "real", "b": "positive", "c": "count"}, hidden=8)
    vae = mv.MultimodalVAE({"x": table}, ["all"], latent_dim=2, seed=0).eval()
    table.calibrate(vae.encoders[0], vae.decoders[0], table.examples(200))
    rows = torch.full((200, 3), torch.nan)
    truth = table.draw(vae.decode(vae.encode({"x": rows}).sample(1)[:, 0])["x"].detach())
    data = mv.MultimodalDataset.from_tensors({"x": rows}, ["all"] * 200, {"x": table})
    found = mv.complete(vae, data, draws=100)["x"]
    inside = (found.low <= truth) & (truth <= found.high)
    assert 0.85 < float(inside.float().mean()) < 0.95  # counts are on the bounds as well


def test_generated_samples_miss_what_real_ones_of_their_class_miss():
    table = mv.Table(columns={"a": "real", "b": "real"})
    real = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0]])
    samples = LabeledSamples({"x": torch.ones(6, 2)}, torch.tensor([0, 0, 0, 1, 1, 1]))
    found = with_gaps_of(samples, LabeledSamples({"x": real}, torch.tensor([0, 1]), gaps=True), {"x": table}, 0)
    assert found.values["x"].isnan().tolist() == [[False, True]] * 3 + [[True, False]] * 3
    assert not samples.values["x"].isnan().any()


def test_a_run_is_evaluated_and_audited(run):
    from multimodal_vae.privacy.run_records import collect, complete, generate
    from multimodal_vae.report.page import _maps
    from multimodal_vae.report.run_evaluation import measure

    metrics, evidence = measure(run, count=10, resamples=5)
    assert {"translation/gait", "individuality/person", "likelihood/joint"} <= {
        each.name for each in metrics["results"]
    }
    person = {"person": run.model.modalities["person"]}
    (picture,) = _maps(person, evidence, [0])["person"][0][1]
    held_out = int((evidence.held_out.labels == 0).sum())
    assert picture.caption == f"{held_out} real and 10 generated samples"
    real = complete(run.splits["train"])
    records = collect(run.model, real, run.splits["train"]), generate(run.synthesizer(), {"ill": 3}, 0, real)
    assert all(bool(x.isfinite().all()) for each in records for x in each.samples.values.values())


def test_a_plot_names_columns_with_units_and_shows_the_cohort():
    from matplotlib.figure import Figure

    table = mv.Table(columns={"hb": {"type": "real", "unit": "g/dl"}, "sex": {"type": "binary", "words": ["f", "m"]}})
    ax = Figure().subplots()
    table.against(table.examples(30)).plot(torch.tensor([13.5, 1.0]), ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["hb 13.5 g/dl", "sex m"]
    assert ax.get_xlabel() == "deviations from the cohort mean"
    assert table._cohort is None


def test_the_benchmark_of_tables_runs(run, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["tables", str(run.path), "--table", "person", "--shares", "0.3", "--count", "9"])
    importlib.import_module("tables").main()
    del sys.modules["tables"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "## person: errors of hidden entries"
    assert [len(line.split("|")) for line in lines if line.startswith("| ")] == [8, 8, 5, 5]
