"""Figures in plain words: what each asks, and where a run falls short of real samples or of its simplest rival."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from multimodal_vae.report.metrics import MetricRecord, Metrics
from multimodal_vae.report.privacy import Privacy

FEW_PATIENTS = 100
"""Held-out patients, below which intervals are wide."""
APART = 0.25
"""Share of the real value by which one without an interval may differ and still pass."""
HARDER = (
    "Worse than over all samples, by more than the interval. Where real samples do worse there too, the group is "
    "harder rather than neglected: the table of subgroups tells."
)
LIKELY_CHANCE = "Each interval misses one time in twenty, and there are many figures: one alone proves little."


@dataclass(frozen=True)
class Question:
    """What a figure asks, and what it means to be below or above what is right."""

    asks: str
    low: str
    high: str


_QUESTIONS = {
    "latent/separability": Question(
        "how well classes are told apart in the latent", "classes are mixed up in the latent", ""
    ),
    "individuality": Question(
        "how much of what tells individuals of a class apart is kept", "reconstructions lose individuals", ""
    ),
    "fidelity/mean": Question("how far the average of each class is off", "", "classes look wrong on the average"),
    "fidelity/spread": Question(
        "how far the variety of each class is off, point by point", "", "the variety within classes is wrong"
    ),
    "fidelity/precision": Question(
        "share of generated samples that could be real", "some generated samples look like no real one", ""
    ),
    "fidelity/recall": Question(
        "share of real samples that could be generated", "some kinds of real samples are never generated", ""
    ),
    "fidelity/density": Question(
        "how closely generated samples gather where real ones are",
        "generated samples stray from where real ones are",
        "generated samples crowd around typical real ones",
    ),
    "fidelity/coverage": Question(
        "share of real samples with a generated one nearby", "some real samples have nothing generated near them", ""
    ),
    "fidelity/kernel distance": Question(
        "how far generated and real samples are apart as a whole",
        "",
        "generated samples differ from real ones as a whole",
    ),
    "sharpness": Question(
        "detail of generated samples over that of real ones, by fineness",
        "generated samples are blurred",
        "generated samples have too much detail, or noise",
    ),
    "reproduced": Question(
        "share of detail found again in reconstructions, by fineness", "reconstructions lose detail", ""
    ),
    "purity": Question(
        "share of generated samples of the class that was asked for", "some generated samples are of another class", ""
    ),
    "coherence/class": Question(
        "share of pairs of which both halves show the class that was asked for",
        "halves of a pair contradict each other",
        "",
    ),
    "coherence/within class": Question(
        "how far the halves of a pair go together within a class",
        "halves of a pair belong to different individuals",
        "halves of a pair go together more than real ones do",
    ),
    "coherence/cause": Question(
        "how far the halves of a pair agree about a cause",
        "halves of a pair disagree about it",
        "halves of a pair agree about it more than real ones do",
    ),
    "copying/closest record": Question(
        "distance to the nearest training sample",
        "generated samples lie nearer to training samples than other patients' samples do, as copies would",
        "generated samples lie further from training samples than other patients' samples do",
    ),
    "utility": Question(
        "how well a classifier learns from generated samples", "a classifier learns less from generated samples", ""
    ),
}
_UNKNOWN = Question("", "it is below what real samples reach", "it is above what real samples reach")


def question(name: str) -> Question:
    """What the figure of a name asks.

    Example:
        >>> question("fidelity/recall").low
        'some kinds of real samples are never generated'
    """
    found = [key for key in _QUESTIONS if name == key or name.startswith((f"{key}/", f"{key} "))]
    return _QUESTIONS[max(found, key=len)] if found else _UNKNOWN


def side(figure: MetricRecord) -> int:
    """Whether a figure falls short of what real samples reach: -1 below it, 1 above it, 0 if it does not fall short.

    A figure with an interval falls short where all of that does; one without, where it is off by a quarter.

    Example:
        >>> from multimodal_vae.evaluation.result import MetricResult
        >>> from multimodal_vae.report.metrics import metric_record
        >>> side(metric_record(MetricResult("purity", 0.5, interval=(0.4, 0.6), real=0.8)))
        -1
    """
    value, real, aim = figure["value"], figure["real"], figure["aim"]
    if value is None or real is None:
        return 0
    low, high = figure["interval"] or (None, None)
    size = max(abs(real), 1.0) if aim == "real" else abs(real)  # correlations and ratios, of which a small one is noise
    margin = APART * size if low is None or high is None else 0.0
    low, high = (value if bound is None else bound for bound in (low, high))
    if aim != "lower" and high < real - margin:
        return -1
    return 1 if aim != "higher" and low > real + margin else 0


def beaten(figure: MetricRecord) -> bool:
    """Whether the simplest rival, a Gaussian a class, does as well or better."""
    value, baseline, real = figure["value"], figure["baseline"], figure["real"]
    if value is None or baseline is None:
        return False
    if figure["aim"] == "real":
        return real is not None and abs(baseline - real) <= abs(value - real)
    return baseline >= value if figure["aim"] == "higher" else baseline <= value


def shortfalls(figures: Sequence[MetricRecord]) -> list[str]:
    """A sentence for each way to fall short of real samples, and one for where the rival is as good."""
    together: dict[str, list[str]] = {}
    for figure in figures:
        which, asked = side(figure), question(figure["name"])
        if which:
            numbers = f"{figure['name']} {shown(figure['value'])}, real samples {shown(figure['real'])}"
            together.setdefault(asked.low if which < 0 else asked.high, []).append(numbers)
    said = [f"{meaning[0].upper()}{meaning[1:]} ({'; '.join(numbers)})." for meaning, numbers in together.items()]
    weak = [figure["name"] for figure in figures if beaten(figure)]
    if weak:
        said.append(
            f"In {len(weak)} of {len(figures)} figures a Gaussian a class, the simplest rival, does as well or better: "
            f"{', '.join(weak)}."
        )
    return said


def cautions(metrics: Metrics, privacy: Privacy | None) -> list[str]:
    """What to know before believing any of it."""
    run, evaluated = metrics["run"], metrics["evaluated"]
    said = []
    if run["state"] != "done":
        said.append(
            f"The training is {run['state']} after {run['epochs_done']} of {run['epochs']} epochs; its weights are "
            "unfinished."
        )
    if evaluated["fitted_on"] == evaluated["split"]:
        said.append(
            f"The densities were fitted on the very {evaluated['split']} samples that are measured against, which "
            "flatters every figure of new samples."
        )
    if evaluated["patients"] < FEW_PATIENTS:
        said.append(f"Only {evaluated['patients']} patients were held out, so intervals are wide.")
    left = ", ".join(f"{count} {why}" for why, count in evaluated["left_out"].items())
    if left:
        said.append(f"Held-out samples that were not measured: {left}.")
    said += privacy["verdict"].found if privacy and privacy["verdict"].leak else []
    if privacy is None:
        said.append(f"Whether samples give training patients away was not audited: mmvae audit {run['name']}.")
    said.append(
        "This is one training with one seed; another may differ by more than the intervals, which tell of patients."
    )
    return said


def uneven(metrics: Metrics) -> list[str]:
    """Subgroups that do worse in a figure than the rest: their interval leaves out the value of all."""
    whole = {figure["name"]: figure for figure in metrics["figures"]}
    said = []
    for group in metrics["subgroups"]:
        worse = [figure["name"] for figure in group["figures"] if _worse(figure, whole.get(figure["name"]))]
        if worse:
            people = f"{group['column']} = {group['value']} ({group['patients']} patients)"
            said.append(f"{people}: worse in {', '.join(worse)}.")
    return said


def _worse(part: MetricRecord, whole: MetricRecord | None) -> bool:
    if whole is None or whole["value"] is None or part["interval"] is None:
        return False
    low, high = part["interval"]
    if low is None or high is None:
        return False
    value = whole["value"]
    if part["aim"] == "real":
        return side(part) != 0 and not low <= value <= high
    return high < value if part["aim"] == "higher" else low > value


def shown(value: float | None) -> str:
    """A number for people.

    Example:
        >>> shown(0.12345), shown(0.0012345), shown(None)
        ('0.123', '0.0012', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001  (a dash for people)
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"


def between(figure: MetricRecord) -> str:
    """An interval for people; empty where there is none."""
    return f"{shown(figure['interval'][0])} to {shown(figure['interval'][1])}" if figure["interval"] else ""
