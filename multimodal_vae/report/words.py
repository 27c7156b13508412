"""Metrics in words: what each means, and where a run falls short of real samples or of the baseline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from multimodal_vae.evaluation.result import MetricResult, format_number
from multimodal_vae.report.records import Metrics, Privacy

FEW_PATIENTS = 100
"""Held-out patients below which intervals are wide."""
TOLERANCE = 0.25
"""Share of the real value by which a value without an interval may differ."""
WORSE_SUBGROUP = (
    "Worse than over all samples, also relative to real samples of the subgroup, by tests that are corrected for the "
    "number of subgroups and metrics: one or more false alarms in all subgroups have a probability of at most 5 %."
)
CHANCE = "One interval in twenty misses by chance, and there are many metrics: a single shortfall proves little."


@dataclass(frozen=True)
class MetricWords:
    """A metric in words, and what a value below or above that of real samples means."""

    description: str
    below: str
    above: str


_WORDS = {
    "latent/separability": MetricWords(
        "how well classes are separated in the latent", "classes are mixed up in the latent", ""
    ),
    "latent/covariate": MetricWords(
        "how well the latent tells a covariate within classes: .5 (words) or 0 (numbers) is chance",
        "",
        "the latent tells a covariate better than samples do",
    ),
    "individuality": MetricWords(
        "share of the differences within a class that reconstructions keep", "reconstructions lose individuals", ""
    ),
    "translation": MetricWords(
        "share of the differences within a class that a modality predicted from all others shows",
        "one modality cannot be predicted from the others",
        "",
    ),
    "likelihood": MetricWords(
        "log-likelihood of held-out samples, in nats per sample", "held-out samples are improbable", ""
    ),
    "fidelity/mean": MetricWords("difference of class means", "", "class means differ from real ones"),
    "fidelity/spread": MetricWords(
        "difference of class spreads, element by element", "", "the spread within classes differs from the real one"
    ),
    "fidelity/precision": MetricWords(
        "share of generated samples near real ones", "some generated samples resemble no real one", ""
    ),
    "fidelity/recall": MetricWords(
        "share of real samples near generated ones", "some kinds of real samples are never generated", ""
    ),
    "fidelity/density": MetricWords(
        "how densely generated samples lie around real ones",
        "generated samples stray from real ones",
        "generated samples crowd around typical real ones",
    ),
    "fidelity/coverage": MetricWords(
        "share of real samples with a generated neighbor", "some real samples have no generated one near them", ""
    ),
    "fidelity/kernel distance": MetricWords(
        "distance of the distributions of generated and real samples",
        "",
        "the distribution of generated samples differs from the real one",
    ),
    "fidelity/two-sample": MetricWords(
        "area under the ROC curve of a classifier that tells generated samples from real ones",
        "",
        "a classifier tells generated samples from real ones",
    ),
    "sharpness": MetricWords(
        "detail of generated samples over that of real ones, per frequency band",
        "generated samples are blurred",
        "generated samples have too much detail, or noise",
    ),
    "texture/distance": MetricWords(
        "distance of small patches from those of real samples, per level from fine to coarse",
        "",
        "the texture of generated samples differs from that of real ones",
    ),
    "texture/classifier": MetricWords(
        "area under the ROC curve of a network that tells generated samples from real ones by small patches",
        "",
        "a network tells generated samples from real ones by their texture",
    ),
    "reproduced": MetricWords(
        "share of detail that reconstructions reproduce, per frequency band", "reconstructions lose detail", ""
    ),
    "purity": MetricWords(
        "share of generated samples of the target class", "some generated samples are of another class", ""
    ),
    "coherence/class": MetricWords(
        "share of samples whose two modalities both show the target class",
        "the modalities of a sample contradict each other",
        "",
    ),
    "coherence/within class": MetricWords(
        "correlation of two modalities within a class",
        "the modalities of a sample belong to different individuals",
        "the modalities of a sample are more correlated than real ones",
    ),
    "coherence/cause": MetricWords(
        "correlation of a cause as estimated from two modalities",
        "the modalities of a sample disagree about a cause",
        "the modalities of a sample agree about a cause more than real ones do",
    ),
    "copying/closest record": MetricWords(
        "distance to the nearest training sample",
        "generated samples are nearer to training samples than other patients' samples are, as copies would be",
        "generated samples are further from training samples than other patients' samples are",
    ),
    "utility": MetricWords(
        "accuracy of a classifier trained on generated samples", "generated samples train a worse classifier", ""
    ),
}
_UNKNOWN = MetricWords("", "the value is below that of real samples", "the value is above that of real samples")


def describe(name: str) -> MetricWords:
    """Return the words for a metric's name.

    Example:
        >>> describe("fidelity/recall").below
        'some kinds of real samples are never generated'
    """
    matches = [key for key in _WORDS if name == key or name.startswith((f"{key}/", f"{key} "))]
    return _WORDS[max(matches, key=len)] if matches else _UNKNOWN


def shortfall(result: MetricResult) -> int:
    """Return -1 for a value short of real samples from below, 1 for one from above, 0 for none.

    A value with an interval falls short if the whole interval does; one without, if it differs by more than
    :data:`TOLERANCE`.

    Example:
        >>> shortfall(MetricResult("purity", 0.5, interval=(0.4, 0.6), real=0.8))
        -1
    """
    value, real, aim = result.value, result.real, result.aim
    if real is None or not math.isfinite(value):
        return 0
    low, high = result.interval or (math.nan, math.nan)
    size = max(abs(real), 1.0) if aim == "real" else abs(real)  # small correlations and ratios are noise
    margin = 0.0 if math.isfinite(low) and math.isfinite(high) else TOLERANCE * size
    low, high = (bound if math.isfinite(bound) else value for bound in (low, high))
    if aim != "lower" and high < real - margin:
        return -1
    return 1 if aim != "higher" and low > real + margin else 0


def baseline_wins(result: MetricResult) -> bool:
    """Return whether the Gaussian baseline does as well or better."""
    value, baseline, real = result.value, result.baseline, result.real
    if baseline is None or not math.isfinite(value):
        return False
    if result.aim == "real":
        return real is not None and abs(baseline - real) <= abs(value - real)
    return baseline >= value if result.aim == "higher" else baseline <= value


def shortfalls(results: Sequence[MetricResult]) -> list[str]:
    """Return a sentence per kind of shortfall, and one if the baseline does as well."""
    by_meaning: dict[str, list[str]] = {}
    for result in results:
        side, words = shortfall(result), describe(result.name)
        if side:
            numbers = f"{result.name} {format_number(result.value)}, real samples {format_number(result.real)}"
            by_meaning.setdefault(words.below if side < 0 else words.above, []).append(numbers)
    sentences = [
        f"{meaning[0].upper()}{meaning[1:]} ({'; '.join(numbers)})." for meaning, numbers in by_meaning.items()
    ]
    weak = [result.name for result in results if baseline_wins(result)]
    if weak:
        sentences.append(
            f"In {len(weak)} of {len(results)} metrics the baseline, a Gaussian per class, does as well or better: "
            f"{', '.join(weak)}."
        )
    return sentences


def cautions(metrics: Metrics, privacy: Privacy | None) -> list[str]:
    """Return a sentence per reason to distrust the metrics or the samples."""
    run, evaluated = metrics["run"], metrics["evaluated"]
    sentences = []
    if run["state"] != "done":
        sentences.append(
            f"The training is {run['state']} after {run['epochs_done']} of {run['epochs']} epochs; its weights are "
            "unfinished."
        )
    if evaluated["fitted_on"] == evaluated["split"]:
        sentences.append(
            f"The densities were fitted on the {evaluated['split']} samples that generated samples are compared with, "
            "which flatters every metric of generated samples."
        )
    told = [result.name.removeprefix(_COVARIATE) for result in metrics["results"] if _tells_covariate(result)]
    if told:
        sentences.append(
            f"The latent still tells {', '.join(told)}: samples generated for one value also show others' traits."
        )
    if evaluated["patients"] < FEW_PATIENTS:
        sentences.append(f"Only {evaluated['patients']} patients were held out, so intervals are wide.")
    left_out = ", ".join(f"{count} {reason}" for reason, count in evaluated["left_out"].items())
    if left_out:
        sentences.append(f"Held-out samples that were not evaluated: {left_out}.")
    sentences += privacy["verdict"].conclusions if privacy and privacy["verdict"].leak else []
    if privacy is None:
        sentences.append(f"Privacy was not audited; audit it with: mmvae audit {run['name']}.")
    sentences.append(
        "This is one training with one seed. Another may differ by more than the intervals, which cover only patients."
    )
    return sentences


_COVARIATE = "latent/covariate "


def _tells_covariate(result: MetricResult) -> bool:
    """Return whether a latent tells a covariate better than by chance."""
    low = (result.interval or (math.nan, math.nan))[0]
    return result.name.startswith(_COVARIATE) and low > result.context.get("chance", math.inf)
