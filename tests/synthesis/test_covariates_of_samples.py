"""Covariates of new samples: as the cohort has them within the class, or as they are set."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.run import train_run
from multimodal_vae.synthesis.conditional import write_completion, write_interpolation, write_translations
from multimodal_vae.synthesis.covariates import CovariateCounts
from multimodal_vae.synthesis.generation import write_samples

RECIPE = """
[data]
manifest = "manifest.csv"
split = [0.8, 0.0, 0.2]
covariates = ["site", "age"]
[modalities]
gait = { name = "vector", size = 2, hidden = 8 }
blood = { name = "vector", size = 1, hidden = 8 }
[model]
latent_dim = 3
[training]
steps = 4
device = "cpu"
early_stopping = false
[density]
sampler = "gaussian"
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A run on a cohort in which no patient of site B is ill, but in whose test samples one is of a third site."""
    folder = tmp_path_factory.mktemp("sites")
    rng = np.random.default_rng(0)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["sample_id", "label", "gait", "blood", "site", "age"])
        for row in range(50):
            label, site = ("ill", "well")[row % 2], "AB"[row % 4 == 1]
            gait = " ".join(f"{x:.3f}" for x in rng.normal(row % 2, 1, 2))
            blood = "" if row == 0 else f"{rng.normal():.3f}"
            table.writerow([f"s{row}", label, gait, blood, site, "" if row == 7 else 30 + row / 2])
    (folder / "recipe.toml").write_text(RECIPE)
    run = train_run(mv.Configuration.read(folder / "recipe.toml"), folder / "run", show=False)
    return folder, run


def _table(folder):
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_counts_name_no_patient_and_no_extreme_value(cohort):
    _, run = cohort
    counts = run.synthesizer().covariate_counts
    train = run.splits["train"]
    assert {label: sum(row[-1] for row in rows) for label, rows in counts.counts.items()} == {
        label: len(train.of_class(label)) for label in train.classes
    }
    ages = train.covariates[:, 0]
    known = ages[~ages.isnan()]
    edges = [edge for band in counts.bands["age"] for edge in band]
    assert len(counts.bands["age"]) == 4
    assert float(known.min()) < min(edges) < max(edges) < float(known.max())
    assert not any(name in counts.model_dump_json() for name in train.ids)


def test_covariates_are_drawn_as_the_class_has_them(cohort):
    _, run = cohort
    synthesizer, train = run.synthesizer(), run.splits["train"]
    for label in train.classes:
        drawn, real = synthesizer.draw_covariates(label, 4000, seed=1), train.of_class(label).covariates
        assert float((drawn[:, 1] == 1).float().mean()) == pytest.approx(
            float((real[:, 1] == 1).float().mean()), abs=0.04
        )
        assert float(drawn[:, 0].nanmedian()) == pytest.approx(float(real[:, 0].nanmedian()), abs=3)
    again = synthesizer.draw_covariates("well", 4000, seed=1)
    assert torch.equal(again, synthesizer.draw_covariates("well", 4000, seed=1)) or bool(again.isnan().any())


def test_a_site_is_set_also_where_no_patient_of_the_class_was_there(cohort, tmp_path, mmvae):
    folder, run = cohort
    code, _, err = mmvae(
        "sample", folder / "run", "--label", "ill", "--count", 3, "--set", "site=B", "--set", "age=50",
        "--out", tmp_path / "new",
    )  # fmt: skip
    assert code == 0, err
    rows = _table(tmp_path / "new")
    assert [(row["site"], row["age"], row["label"]) for row in rows] == [("B", "50", "ill")] * 3
    assert json.loads((tmp_path / "new" / "provenance.json").read_text())["covariates"] == {"site": "B", "age": "50"}
    read = run.read(tmp_path / "new" / "manifest.csv")  # the new folder is a data set of the same kind
    assert read.covariates.tolist() == [[50, 1]] * 3
    sampled = run.synthesizer().sample("ill", 3, seed=0, covariates={"site": "B", "age": 50})
    torch.testing.assert_close(read.samples["gait"], sampled["gait"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("site=D", "the covariate 'site' has no value 'D'; the known ones are A, B"),
        ("city=B", "there is no covariate 'city'"),
        ("age=old", "the covariate 'age' takes numbers with decimal points, not 'old'"),
        ("B", "'B' sets no covariate; give each once, such as site=B"),
    ],
)
def test_a_wrong_setting_is_one_line_and_writes_nothing(cohort, tmp_path, mmvae, setting, message):
    code, _, err = mmvae("sample", cohort[0] / "run", "--count", 2, "--set", setting, "--out", tmp_path / "new")
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "new").exists()


def test_generated_manifests_have_the_cohorts_covariates_whatever_the_chunks(cohort, tmp_path, monkeypatch):
    from multimodal_vae.synthesis import generation

    synthesizer = cohort[1].synthesizer()
    write_samples(tmp_path / "one", synthesizer, {"well": 9}, 0, {})
    monkeypatch.setattr(generation, "CHUNK_SIZE", 4)
    write_samples(tmp_path / "other", synthesizer, {"well": 9}, 0, {})
    first, second = (_table(tmp_path / name) for name in ("one", "other"))
    assert first == second
    assert list(first[0]) == ["sample_id", "label", "age", "site", "gait", "blood", "origin"]
    assert set(Counter(row["site"] for row in first)) <= {"A", "B"}


def test_a_word_that_only_other_samples_have_is_no_value_to_generate(make_data):
    sites = ["A", "B"] * 11 + ["C", "C"]
    data = make_data(covariates={"site": sites})
    seen = data.subset(range(22))
    counts = CovariateCounts.of(seen)
    with pytest.raises(mv.DataError, match=r"no training sample has the value 'C' of the covariate 'site'.*A, B"):
        counts.draw(data.covariate_types, "ill", 2, 0, {"site": "C"})


def test_completions_translations_and_interpolations_keep_covariates(cohort, tmp_path):
    _, run = cohort
    write_completion(tmp_path / "completed", run.model, run.data, {})
    row = _table(tmp_path / "completed")[0]
    assert (row["site"], row["age"]) == ("A", "30.0")
    alone = run.model.translate(run.data.subset([0]), "blood")
    assert float(row["blood"]) == pytest.approx(float(alone), rel=1e-4)
    write_translations(tmp_path / "translated", run.model, run.data.subset([1, 2]).only("gait"), "blood", {})
    assert [row["site"] for row in _table(tmp_path / "translated")] == ["B", "A"]
    write_interpolation(tmp_path / "between", run.model, run.data.named("s1", "s2"), 4, {})
    assert [row["site"] for row in _table(tmp_path / "between")] == ["B", "B", "A", "A"]


def test_densities_fitted_without_counts_and_counts_of_other_covariates_are_refused(cohort, tmp_path):
    _, run = cohort
    synthesizer = mv.Synthesizer(run.model, "gaussian").fit(run.data)
    synthesizer.save(tmp_path / "densities.safetensors")
    same = mv.Synthesizer.load(tmp_path / "densities.safetensors", run.model)
    assert same.covariate_counts == synthesizer.covariate_counts
    synthesizer.covariate_counts = None
    with pytest.raises(mv.SamplerError, match="fitted without covariates; fit them anew"):
        synthesizer.sample("ill", 1)
    synthesizer.covariate_counts = CovariateCounts(bands={}, whole=[], counts={"ill": [[0, 0, 1]], "well": [[9, 0, 1]]})
    synthesizer.save(tmp_path / "wrong.safetensors")
    with pytest.raises(mv.RunError, match="no counts of the covariates in class 'ill'; delete the file to fit anew"):
        mv.Synthesizer.load(tmp_path / "wrong.safetensors", run.model)


def test_a_manifest_without_the_columns_is_refused_by_name(cohort, tmp_path):
    (tmp_path / "manifest.csv").write_text("sample_id,label,gait,blood\na,ill,0 0,1\n")
    with pytest.raises(mv.DataError, match="no column 'age' beside the modalities, which is a covariate"):
        cohort[1].read(tmp_path / "manifest.csv")


def test_a_private_density_is_refused_since_counts_of_covariates_are_exact(cohort):
    _, run = cohort
    with pytest.raises(mv.ConfigurationError, match="'private_gaussian' cannot be used with covariates"):
        run.synthesizer({"name": "private_gaussian", "epsilon": 1.0})
