"""The verdict says what the metrics show, in three sentences, and no more."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations import CLOSE, SHORT, UNDECIDED, audit, evaluation, key_results, realism, result, subgroup
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.report.key_metrics import key_metrics
from multimodal_vae.report.records import read_metrics
from multimodal_vae.report.verdict import judge_evaluation


def test_a_good_run():
    strengths, weaknesses, trust = judge_evaluation(evaluation(key_results()), audit())
    assert strengths == (
        "Generated samples are within 10 % of real ones, or better, in class fidelity, diversity, realism, agreement "
        "of modalities and distance to training patients."
    )
    assert weaknesses == "No metric falls short, which does not prove that nothing does."
    assert trust.startswith("Trust these samples for research within these limits, never for diagnosis")
    assert "200 patients" in trust


def test_a_bad_run():
    bad = dict.fromkeys(("fidelity", "diversity", "realism", "agreement"), SHORT)
    strengths, weaknesses, trust = judge_evaluation(evaluation(key_results(**bad)), audit())
    assert strengths == "Generated samples are within 10 % of real ones, or better, in distance to training patients."
    assert weaknesses.startswith("They fall short of real ones in class fidelity (0.60 of 1), diversity (0.60 of 1)")
    assert trust == "Do not trust these samples: they are more than 10 % below real ones in 4 of 5 key metrics."


def test_a_slight_shortfall_does_not_forbid_trust():
    slight = dict.fromkeys(("fidelity", "diversity", "realism", "agreement"), (0.85, 0.95))
    _, weaknesses, trust = judge_evaluation(evaluation(key_results(**slight)), audit())
    assert "class fidelity (0.90 of 1)" in weaknesses
    assert trust == (
        "Trust these samples for a first look only: only 1 of 5 key metrics can be called close to real samples."
    )


def test_a_shortfall_that_no_key_metric_shows_is_counted():
    results = [*key_results(), result("sharpness/x/0-0.5", SHORT, 1.0, aim="real"), result("reproduced/x", SHORT)]
    _, weaknesses, _ = judge_evaluation(evaluation(results), audit())
    assert weaknesses == ("They fall short of real ones in 2 of the 2 other metrics (of sharpness and reconstruction).")


@pytest.mark.parametrize("name", ["class fidelity", "agreement of modalities"])
def test_a_small_split_decides_nothing(name):
    metrics = evaluation(key_results(**dict.fromkeys(("fidelity", "realism", "agreement"), UNDECIDED)), patients=40)
    strengths, weaknesses, trust = judge_evaluation(metrics, audit())
    assert name not in strengths
    assert weaknesses.startswith("40 patients are too few to decide on class fidelity, realism and")
    assert name in weaknesses
    assert trust.startswith("Trust these samples for a first look only: only 40 patients were held out and only 2")


def test_perfect_metrics_of_few_patients_are_not_called_close():
    for patients, close in ((29, False), (30, True)):
        metrics = evaluation(key_results(diversity=(1.0, 1.0)), patients=patients)
        assert ("diversity" in judge_evaluation(metrics, audit()).strengths) is close


def test_what_exceeds_real_samples_is_not_said_to_fall_short():
    metrics = evaluation(key_results(distance=(1.3, 1.5)))
    assert judge_evaluation(metrics, audit()).weaknesses == (
        "They exceed real ones in distance to training patients (1.40 of 1)."
    )


def test_without_any_metric():
    strengths, _, trust = judge_evaluation(evaluation([MetricResult("purity", float("nan"))]), None)
    assert strengths == "There are too few samples for any of the key metrics."
    assert "first look" in trust


@pytest.mark.parametrize(
    ("changes", "leak", "reason"),
    [
        ({"state": "interrupted"}, False, "the training is interrupted"),
        ({"fitted_on": "test"}, False, "fitted on the test samples"),
        ({}, True, "the audit found that they reveal training patients"),
    ],
)
def test_what_forbids_trust(changes, leak, reason):
    _, _, trust = judge_evaluation(evaluation(key_results(), **changes), audit(leak))
    assert trust.startswith("Do not trust these samples: ")
    assert reason in trust


def test_copies_are_told_from_typical_samples_by_the_audit():
    near = evaluation(key_results(distance=SHORT))
    assert "as copies would be, and privacy was not audited" in judge_evaluation(near, None).trust
    assert "copies" not in judge_evaluation(near, audit()).trust
    assert "distance to training patients (0.60 of 1)" in judge_evaluation(near, audit()).weaknesses


def test_without_an_audit_samples_are_for_a_first_look():
    assert judge_evaluation(evaluation(key_results()), None).trust == (
        "Trust these samples for a first look only: privacy was not audited."
    )


def test_a_baseline_that_does_as_well_and_none_at_all():
    strong = [MetricResult(x.name, x.value, x.aim, x.interval, x.real, x.value) for x in key_results()]
    assert "the baseline (a Gaussian per class) does as well in 5 of 5 key metrics" in (
        judge_evaluation(evaluation(strong), audit()).trust
    )
    none = [MetricResult(x.name, x.value, x.aim, x.interval, x.real) for x in key_results()]
    assert "baseline" not in judge_evaluation(evaluation(none), audit()).trust


def test_a_worse_subgroup_is_named():
    name = "fidelity/coverage"
    groups = [subgroup("A", [result(name)]), subgroup("B", [result(name, (0.2, 0.3))])]
    _, weaknesses, _ = judge_evaluation(evaluation(key_results(), subgroups=groups), audit())
    assert weaknesses == "They fit camera = B worse than all patients."


def test_a_written_evaluation(evaluated):
    verdict = judge_evaluation(read_metrics(evaluated), None)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in verdict)
    assert "research" not in verdict.trust


BOUNDS = st.tuples(st.floats(0, 3), st.floats(0, 3)).map(sorted).map(tuple)


@given(
    st.lists(BOUNDS, min_size=5, max_size=5),
    st.integers(2, 500),
    st.sampled_from(["done", "failed"]),
    st.sampled_from([None, audit(), audit(True)]),
)
def test_it_never_says_more_than_the_metrics(bounds, patients, state, privacy):
    names = ("fidelity", "diversity", "realism", "agreement", "distance")
    metrics = evaluation(key_results(**dict(zip(names, bounds, strict=True))), patients=patients, state=state)
    strengths, weaknesses, trust = judge_evaluation(metrics, privacy)
    for each in key_metrics(metrics["results"], patients):
        title = each.title[0].lower() + each.title[1:]
        low, high = each.interval
        assert (title in strengths) == (each.state == "close")
        assert (title in weaknesses) == (each.state != "close")
        if each.state == "close":
            assert low >= 0.9
            assert patients >= 30
        if each.state == "short":
            assert high < 1 or low > 1
    if trust.startswith("Trust these samples for research"):
        assert privacy is not None
        assert not privacy["verdict"].leak
        assert patients >= 100
        assert state == "done"
    for sentence in (strengths, weaknesses, trust):
        assert len(re.findall(r"[.!?](?:\s|$)", sentence)) == 1


def test_key_metrics_are_relative_to_real_samples():
    fidelity, _, real, *_ = key_metrics(key_results(realism=(0.4, 0.6)), 100)
    assert fidelity.interval == pytest.approx(CLOSE)
    assert fidelity.baseline == pytest.approx(0.5)
    assert real.value == pytest.approx(0.5)  # an AUC of .75: halfway between chance, as real samples, and certainty
    assert real.interval == pytest.approx((0.4, 0.6))
    assert real.baseline == pytest.approx(0.02)
    assert key_metrics([realism((1.1, 1.3))], 100)[0].interval == pytest.approx((1, 1))  # below .5 is chance


def test_of_several_pairs_the_worst_is_shown():
    pairs = [result("coherence/class/a+b"), result("coherence/class/a+c", SHORT), result("coherence/class/b+c")]
    (key,) = key_metrics(pairs, 100)
    assert key.result.name == "coherence/class/a+c"


def test_other_metrics_take_the_place_of_missing_ones():
    rest = [result("purity"), *(result(f"sharpness/x/{n}", bounds, 1.0) for n, bounds in enumerate((CLOSE, SHORT)))]
    one_modality = [each for each in key_results() if not each.name.startswith("coherence")]
    assert [each.result.name for each in key_metrics([*rest, *one_modality], 100)] == [
        "utility/synthetic alone",
        "fidelity/coverage",
        "fidelity/two-sample",
        "copying/closest record",
        "purity",
    ]
    assert [each.result.name for each in key_metrics(rest, 100)] == ["purity", "sharpness/x/1"]


@pytest.mark.parametrize("real", [None, 0.0, -0.2])
def test_what_real_samples_do_not_reach_has_no_scale(real):
    assert key_metrics([MetricResult("purity", 0.5, real=real)], 100) == []
