"""What falls short is said, in the right direction, and nothing else is."""

import pydantic
import pytest

from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.report.card import escaped, model_card
from multimodal_vae.report.pictures import chart, read_log
from multimodal_vae.report.records import FILE, Metrics, read_metrics
from multimodal_vae.report.words import baseline_wins, cautions, describe, shortfall, shortfalls


@pytest.mark.parametrize(
    ("aim", "interval", "real", "expected"),
    [
        ("higher", (0.4, 0.6), 0.7, -1),
        ("higher", (0.4, 0.6), 0.55, 0),
        ("higher", (0.4, 0.6), 0.1, 0),
        ("lower", (0.4, 0.6), 0.3, 1),
        ("lower", (0.4, 0.6), 0.9, 0),
        ("real", (0.4, 0.6), 0.3, 1),
        ("real", (0.4, 0.6), 0.7, -1),
        ("real", (0.4, 0.6), 0.5, 0),
        ("lower", None, 0.45, 0),
        ("lower", None, 0.3, 1),
        ("real", None, 0.3, 0),
        ("real", None, 0.9, -1),
        ("higher", None, None, 0),
    ],
)
def test_short_is_what_the_whole_interval_is(aim, interval, real, expected):
    assert shortfall(MetricResult("x", 0.5, aim, interval, real)) == expected


@pytest.mark.parametrize(
    ("aim", "baseline", "real", "expected"),
    [
        ("higher", 0.6, 0.9, True),
        ("higher", 0.4, 0.9, False),
        ("lower", 0.4, 0.1, True),
        ("lower", 0.6, 0.1, False),
        ("real", 0.8, 0.9, True),
        ("real", 0.1, 0.9, False),
        ("real", 0.8, None, False),
    ],
)
def test_the_rival_beats_what_is_no_nearer_to_its_aim(aim, baseline, real, expected):
    assert baseline_wins(MetricResult("x", 0.5, aim, real=real, baseline=baseline)) is expected


def test_blur_is_called_blur_and_a_good_figure_is_not_mentioned():
    blurred = MetricResult("sharpness/photo/0-0.05", 0.5, "real", (0.4, 0.6), 1.0)
    fine = MetricResult("purity", 0.9, "higher", (0.85, 0.95), 0.9)
    (sentence,) = shortfalls([blurred, fine])
    assert sentence == "Generated samples are blurred (sharpness/photo/0-0.05 0.500, real samples 1.000)."


def test_every_figure_of_the_evaluation_has_its_question(evaluated):
    metrics = read_metrics(evaluated)
    assert all(describe(result.name).description for result in metrics["results"])


def test_what_spoils_figures_is_said(evaluated):
    metrics = read_metrics(evaluated)
    assert any("mmvae audit" in each for each in cautions(metrics, None))
    assert any("patients were held out" in each for each in cautions(metrics, None))
    metrics["evaluated"]["fitted_on"] = "test"
    metrics["run"]["state"] = "interrupted"
    assert any("fitted on the test samples" in each for each in cautions(metrics, None))
    assert any("interrupted" in each for each in cautions(metrics, None))


def test_curves_pass_over_lines_that_are_none(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"epoch": 1, "training.loss": 2.0, "validation.loss": NaN}\nhalf {\n[]\n{"epoch": 2, "training.loss": 1}'
    )
    assert read_log(log) == {"loss": {"training": [(1, 2.0), (2, 1)]}}
    assert chart("loss", read_log(log)["loss"]).words == "loss by epoch; at the end training 1"
    assert read_log(tmp_path / "none.jsonl") == {}


def test_a_card_holds_figures_limits_and_provenance(evaluated, mmvae):
    status, out, err = mmvae("card", evaluated)
    assert (status, err) == (0, "")
    assert out == f"written: {evaluated / 'card.md'}\n"
    card = (evaluated / "card.md").read_text("utf-8")
    metrics = read_metrics(evaluated)
    for result in metrics["results"]:
        assert f"| {escaped(result.name)} |" in card
    assert "**Not for diagnosis.**" in card
    assert "Privacy was not audited" in card
    assert metrics["run"]["weights_sha256"] in card
    assert "Not chosen." in card
    assert "<img" not in card


def test_a_guarantee_is_kept_and_said_on_the_card_in_words(evaluated, tmp_path):
    metrics = read_metrics(evaluated)
    assert metrics["evaluated"]["guarantee"] is None
    metrics["evaluated"]["guarantee"] = Guarantee(3.0, 1e-5, "density")
    (tmp_path / FILE).write_bytes(pydantic.TypeAdapter(Metrics).dump_json(metrics))
    again = read_metrics(tmp_path)
    assert again["evaluated"]["guarantee"] == Guarantee(3.0, 1e-5, "density")
    assert escaped(Guarantee(3.0, 1e-5, "density").sentence) in model_card(again, None)


def test_a_card_needs_an_evaluation(trained, mmvae):
    status, _, err = mmvae("card", trained)
    assert status == 2
    assert f"mmvae evaluate {trained}" in err
