"""Evaluations made up for tests of words and rules."""

from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.privacy.result import Verdict
from multimodal_vae.report.records import EvaluatedRecord, Metrics, Privacy, RunRecord, SplitRecord, SubgroupRecord

CLOSE, SHORT, UNDECIDED = (0.95, 1.02), (0.5, 0.7), (0.8, 1.1)
"""Intervals relative to real samples."""


def result(name, interval=CLOSE, real=0.8, baseline=0.4, aim="higher"):
    """A result whose value is the middle of an interval relative to real samples."""
    low, high = (real * bound for bound in interval)
    return MetricResult(name, (low + high) / 2, aim, (low, high), real, baseline)


def realism(interval=CLOSE, baseline=0.99):
    """A two-sample test whose AUC has an interval relative to real samples."""
    low, high = (1 - 0.5 * bound for bound in interval)
    return MetricResult("fidelity/two-sample", (low + high) / 2, "lower", (high, low), 0.5, baseline)


def key_results(**intervals):
    """Results of the five key metrics, close to real samples but for those named."""
    return [
        result("utility/synthetic alone", intervals.get("fidelity", CLOSE)),
        result("fidelity/coverage", intervals.get("diversity", CLOSE)),
        realism(intervals.get("realism", CLOSE)),
        result("coherence/class/a+b", intervals.get("agreement", CLOSE)),
        result("copying/closest record", intervals.get("distance", CLOSE), aim="real", baseline=2.0),
    ]


def evaluation(results=(), patients=200, state="done", fitted_on="train", subgroups=()):
    """An evaluation with some results."""
    run = RunRecord(
        name="run",
        state=state,
        epochs_done=9,
        epochs=9,
        weights_sha256="",
        trained_on="",
        distributions={},
        parts=[],
        configuration={"modalities": {}, "model": {}},
    )
    evaluated = EvaluatedRecord(
        split="test",
        samples=2 * patients,
        patients=patients,
        classes=["a", "b"],
        left_out={},
        generated=300,
        sampler="kde",
        fitted_on=fitted_on,
        seed=0,
        resamples=200,
        judges_sha256=[],
        with_version="0",
    )
    data = {"test": SplitRecord(samples=2 * patients, patients=patients, classes={}, sha256="")}
    return Metrics(
        version=2,
        date="2026-01-01T00:00:00+00:00",
        run=run,
        data=data,
        evaluated=evaluated,
        results=[*results],
        subgroups=[*subgroups],
    )


def subgroup(value, results, patients=40, column="camera"):
    """A subgroup with some results."""
    return SubgroupRecord(
        column=column, value=value, samples=2 * patients, patients=patients, results=[*results], reason=None
    )


def audit(leak=False):
    """An audit that found a leak, or none."""
    return Privacy(results=[], verdict=Verdict(leak, ["Something."], ["All else."]))
