"""The verdict of a report: what generated samples do well, where they fall short, and whether to trust them."""

from collections.abc import Sequence
from typing import NamedTuple

from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.report.key_metrics import MARGIN, KeyMetric, key_metrics
from multimodal_vae.report.records import Metrics, Privacy
from multimodal_vae.report.subgroups import compare_subgroups
from multimodal_vae.report.words import FEW_PATIENTS, baseline_wins, shortfall

AREAS = {
    "latent": "the latent",
    "individuality": "reconstruction",
    "reproduced": "reconstruction",
    "translation": "prediction of modalities",
    "fidelity": "distribution",
    "purity": "class purity",
    "coherence": "agreement of modalities",
    "copying": "distance to training samples",
    "utility": "usefulness for training",
}
"""What metrics are about, by the first word of their names; other words say it themselves."""


class EvaluationVerdict(NamedTuple):
    """An evaluation in three sentences.

    Attributes:
        strengths: what generated samples do as well as real ones.
        weaknesses: where they fall short, and what is undecided.
        trust: whether and for what to trust them.
    """

    strengths: str
    weaknesses: str
    trust: str


def judge_evaluation(metrics: Metrics, privacy: Privacy | None) -> EvaluationVerdict:
    """Put an evaluation into three sentences, by rules on its metrics.

    Args:
        metrics: the evaluation.
        privacy: the audit of the run, if any.
    """
    key = key_metrics(metrics["results"], metrics["evaluated"]["patients"])
    return EvaluationVerdict(_strengths(key), _weaknesses(key, metrics), _trust(key, metrics, privacy))


def _title(key: KeyMetric) -> str:
    return key.title[0].lower() + key.title[1:]


def _titles(key: Sequence[KeyMetric], state: str) -> list[str]:
    return [_title(each) for each in key if each.state == state]


def _strengths(key: Sequence[KeyMetric]) -> str:
    close = _titles(key, "close")
    if close:
        return f"Generated samples are within {100 * MARGIN:.0f} % of real ones, or better, in {join(close)}."
    if key:
        return (
            f"No key metric shows with certainty that generated samples are within {100 * MARGIN:.0f} % of real ones."
        )
    return "There are too few samples for any of the key metrics."


def _weaknesses(key: Sequence[KeyMetric], metrics: Metrics) -> str:
    parts = []
    short, above = (
        [
            f"{_title(each)} ({each.value:.2f} of 1)"
            for each in key
            if each.state == "short" and (each.value > 1) is more
        ]
        for more in (False, True)
    )
    known = {each.result.name for each in key}
    others = [result for result in metrics["results"] if result.name not in known]
    failing = [result for result in others if shortfall(result)]
    if failing:
        short.append(f"{len(failing)} of the {len(others)} other metrics (of {join(_areas(failing))})")
    if short:
        parts.append(f"they fall short of real ones in {join(short)}")
    if above:
        parts.append(f"they exceed real ones in {join(above)}")
    undecided = _titles(key, "undecided")
    if undecided:
        parts.append(f"{metrics['evaluated']['patients']} patients are too few to decide on {join(undecided)}")
    worse = dict.fromkeys(f"{each.column} = {each.value}" for each in compare_subgroups(metrics) if each.worse)
    if worse:
        parts.append(f"they fit {join([*worse])} worse than all patients")
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}." if parts else "No metric falls short, which does not prove that nothing does."
    )


def _areas(results: Sequence[MetricResult]) -> list[str]:
    """Return what metrics are about, by the first word of their names."""
    firsts = dict.fromkeys(result.name.split("/")[0] for result in results)
    return [*dict.fromkeys(AREAS.get(first, first) for first in firsts)]


def _trust(key: Sequence[KeyMetric], metrics: Metrics, privacy: Privacy | None) -> str:
    run, evaluated = metrics["run"], metrics["evaluated"]
    faults, doubts = [], []
    if run["state"] != "done":
        faults.append(f"the training is {run['state']}")
    if evaluated["fitted_on"] == evaluated["split"]:
        faults.append(f"their densities were fitted on the {evaluated['split']} samples that they are compared with")
    if privacy and privacy["verdict"].leak:
        faults.append("the audit found that they reveal training patients")
    far = sum(each.interval is not None and each.interval[1] < 1 - MARGIN for each in key)
    if 2 * far > len(key):
        faults.append(f"they are more than {100 * MARGIN:.0f} % below real ones in {far} of {len(key)} key metrics")
    if faults:
        return f"Do not trust these samples: {join(faults)}."
    if evaluated["patients"] < FEW_PATIENTS:
        doubts.append(f"only {evaluated['patients']} patients were held out")
    close = len(_titles(key, "close"))
    if 2 * close <= len(key):
        doubts.append(f"only {close} of {len(key)} key metrics can be called close to real samples")
    compared = [each for each in key if each.baseline is not None]
    wins = sum(baseline_wins(each.result) for each in compared)
    if compared and 2 * wins >= len(compared):
        doubts.append(f"the baseline (a Gaussian per class) does as well in {wins} of {len(compared)} key metrics")
    if privacy is None:
        near = any(each.state == "short" and each.value < 1 for each in key if each.result.name.startswith("copying/"))
        reason = "they are nearer to training patients than other patients are, as copies would be, and "
        doubts.append(f"{reason if near else ''}privacy was not audited")
    if doubts:
        return f"Trust these samples for a first look only: {join(doubts)}."
    return (
        "Trust these samples for research within these limits, never for diagnosis: the audit found no leak, and "
        f"{evaluated['patients']} patients were held out."
    )


def join(items: Sequence[str]) -> str:
    """Join phrases into a list in words.

    Example:
        >>> join(["a", "b", "c"]), join(["a"])
        ('a, b and c', 'a')
    """
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
