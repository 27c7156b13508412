"""metrics.json is what its schema says, and a reader of another version is told so."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import get_type_hints

import pydantic
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.privacy import run_records
from multimodal_vae.report import records, run_evaluation
from multimodal_vae.report.records import Metrics, read_metrics

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")
RECORDS = {
    "the file": Metrics,
    "run": records.RunRecord,
    "data": records.SplitRecord,
    "evaluated": records.EvaluatedRecord,
    "results": MetricResult,
    "subgroups": records.SubgroupRecord,
}


def test_what_an_evaluation_writes_is_what_the_schema_reads(evaluated):
    written = json.loads((evaluated / "metrics.json").read_text("utf-8"))
    read = read_metrics(evaluated)
    assert json.loads(pydantic.TypeAdapter(Metrics).dump_json(read)) == written
    assert written["version"] == records.VERSION
    assert written["evaluated"]["samples"] == sum(written["data"]["test"]["classes"].values())
    names = [result["name"] for result in written["results"]]
    assert len(names) == len({*names}) > 10
    assert "purity" in names


def test_every_key_stands_in_the_reference_and_nothing_else():
    assert f"Version {records.VERSION}" in REFERENCE
    for title, record in RECORDS.items():
        section = REFERENCE.split(f"## {title[0].upper()}{title[1:]}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(get_type_hints(record)), title


def test_another_version_is_refused_and_says_how_to_mend_it(evaluated):
    path = evaluated / "metrics.json"
    path.write_text(path.read_text("utf-8").replace('"version": 2,', '"version": 3,', 1), "utf-8")
    with pytest.raises(mv.RunError, match=r"version 3, but this package reads 2.*mmvae evaluate"):
        read_metrics(evaluated)


def test_a_run_that_was_not_evaluated_says_so(tmp_path):
    with pytest.raises(mv.RunError, match="mmvae evaluate"):
        read_metrics(tmp_path)


def test_what_is_not_finite_is_none():
    result = MetricResult("x", float("inf"), interval=(float("nan"), 1.0), context={"y": float("nan")})
    record = json.loads(pydantic.TypeAdapter(MetricResult).dump_json(result))
    assert record == result.to_dict()
    assert record["value"] is None
    assert record["interval"] == [None, 1.0]
    assert record["context"] == {"y": None}
    read = pydantic.TypeAdapter(MetricResult).validate_python(record)
    assert math.isnan(read.value)
    assert math.isnan(read.interval[0])


def test_no_place_of_the_machine_is_told(evaluated):
    text = (evaluated / "metrics.json").read_text("utf-8") + (evaluated / "report.html").read_text("utf-8")
    assert "manifest.csv" in (evaluated / "config.toml").read_text("utf-8")
    assert "manifest.csv" not in text
    assert str(evaluated.parent) not in text


def test_the_same_seed_gives_the_same_figures(evaluated, mmvae):
    before = json.loads((evaluated / "metrics.json").read_text("utf-8"))
    mmvae("evaluate", evaluated, "--count", 12, "--by", "site")
    after = json.loads((evaluated / "metrics.json").read_text("utf-8"))
    for written in (before, after):
        written.pop("date")
        written["run"].pop("name")
    assert after == before


def test_a_license_goes_from_configuration_to_card_and_may_change_on_resuming(toml, tmp_path, mmvae):
    toml.write_text('license = "CC-BY-4.0"\n' + toml.read_text("utf-8"), "utf-8")
    assert mmvae("train", toml, "--out", tmp_path / "run", "--quiet")[0] == 0
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text("utf-8"))["license"] == "CC-BY-4.0"
    toml.write_text(toml.read_text("utf-8").replace("CC-BY-4.0", "CC0-1.0"), "utf-8")
    assert mmvae("train", toml, "--out", tmp_path / "run", "--quiet")[0] == 0


def test_evaluation_and_audit_rate_the_samples_that_generation_writes(evaluated, tmp_path, monkeypatch):
    for function in ("_results", "likelihood_metrics"):
        monkeypatch.setattr(run_evaluation, function, lambda *_: [])
    run = mv.open_run(evaluated)
    metrics, evidence = run_evaluation.measure(run, count=7, seed=3, sampler={"name": "kde", "bandwidth": 0.4})
    assert metrics["evaluated"]["noise"] == {"photo": "mean", "blood": "draw"}
    synthesizer = run.synthesizer({"name": "kde", "bandwidth": 0.4})
    counts = dict.fromkeys(run.model.classes, 7)
    mv.write_samples(tmp_path / "new", synthesizer, counts, 3, {})
    written = run.read(tmp_path / "new" / "manifest.csv")
    audited = run_records.generate(synthesizer, counts, 3, evidence.held_out).samples
    for generated in (evidence.generated, audited):
        assert generated.labels.tolist() == written.labels.tolist()
        torch.testing.assert_close(generated.values["blood"], written.samples["blood"])
        torch.testing.assert_close(generated.values["photo"], written.samples["photo"], rtol=0, atol=0.51 / 255)
