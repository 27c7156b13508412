"""What the figures of an audit come to, in words, and what they do not show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from multimodal_vae.privacy.result import PrivacyResult, Sizes, Who, highest, of_measure

_PEOPLE: dict[Who, str] = {
    "train": "patients the model was trained on",
    "fitted on": "patients the densities were fitted on",
}
_BLIND = "membership/blind"


@dataclass(frozen=True)
class Verdict:
    """An audit in words.

    Attributes:
        leak: whether anything was found that a generator which learned nobody by heart would not show.
        found: what was found, a sentence each.
        not_shown: what the figures do not show, a sentence each.
    """

    leak: bool
    found: Sequence[str]
    not_shown: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def judge_findings(findings: Sequence[PrivacyResult], sizes: Mapping[str, Sizes]) -> Verdict:
    """Put findings into words.

    A leak is an attack, a share of copies or a guess that exceeds its baseline by more than chance among all that
    were tried explains, or an exact copy where the holdout has none.

    Args:
        findings: of an audit.
        sizes: of its sets, by name.
    """
    found: list[str] = []
    given_away: list[str] = []
    for who, people in _PEOPLE.items():
        if who in sizes:
            asked = [_membership, _copies, _nearer, _guessed]
            if sizes["holdout"].patients >= 100:  # of fewer, one in a hundred is no whole patient, and one decides
                asked.insert(1, _recognized)
            said = [ask(findings, who) for ask in asked]
            found += [sentence for sentence, _ in said if sentence]
            given_away += [people] if any(leak for _, leak in said) else []
    first = (
        f"Something is given away of the {' and of the '.join(given_away)}."
        if given_away
        else "Nothing that was tried tells the patients that were learned from apart from others."
    )
    return Verdict(bool(given_away), [first, *found, *_shifted(findings)], _not_shown(findings, sizes))


def _membership(findings: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    attacks = [each for each in of_measure(findings, "membership/", who) if each.measure != _BLIND]
    strongest, people = highest(attacks), _PEOPLE[who]
    clear = [each for each in attacks if each.exceeds(len(attacks))]
    if clear:
        best = highest(clear)
        return f"The {people} are told from others by {_attack(best)}: {_shown(best)}.", True
    return (
        f"The {people} are not told from others by any of {len(attacks)} attacks beyond chance; the strongest, "
        f"{_attack(strongest)}, has {_shown(strongest)}.",
        False,
    )


def _recognized(findings: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    shares = [each for each in of_measure(findings, "recognized/", who) if each.measure != "recognized/blind"]
    clear = [each for each in shares if each.exceeds(len(shares)) and each.figure.value > 0.05]
    if not clear:
        return "", False
    best = highest(clear)
    return (
        f"Where 1 % of others are taken for one, {best.figure.value:.0%} of the {_PEOPLE[who]} are recognized "
        f"by {_attack(best)}.",
        True,
    )


def _copies(findings: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    said, leak = [], False
    for kind in ("exact", "near"):
        made = [each for each in of_measure(findings, f"copies/{kind}", who) if each.space.startswith("data")]
        worst = highest(made)
        value, usual = worst.figure.value, worst.figure.real or 0.0
        count = int(worst.figure.beside["samples"])
        if value > 0:
            said.append(f"{count} ({value:.1%}; {usual:.1%} of the holdout) are {kind} copies in {worst.space}")
        leak = leak or worst.exceeds(len(made)) or (kind == "exact" and value > 0 and usual == 0)
    if not said:
        return f"No generated sample is a copy of a record of the {_PEOPLE[who]}.", False
    return f"Of the generated samples, {', and '.join(said)}, of records of the {_PEOPLE[who]}.", leak


def _nearer(findings: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    shares = [*of_measure(findings, "nearer", who), *of_measure(findings, "adversarial", who)]
    clear = [each for each in shares if each.exceeds(len(shares))]
    if not clear:
        return "", False
    best = highest(clear)
    return (
        f"Generated samples lie nearer to the {_PEOPLE[who]} than to others, by {len(clear)} of {len(shares)} figures "
        f"such as {best.measure!r} in {best.space}, {best.figure.value:.2f} where {best.figure.real:g} is chance.",
        True,
    )


def _guessed(findings: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    guesses = of_measure(findings, "guessed/", who)
    clear = [each for each in guesses if each.exceeds(len(guesses))]
    if not clear:
        return "", False
    best = highest(clear)
    beside = best.figure.beside
    return (
        f"From generated samples, the {best.measure.removeprefix('guessed/')} of the {_PEOPLE[who]} is guessed better "
        f"({beside['members']:.2f}) than that of others ({beside['others']:.2f}), in {best.space}.",
        True,
    )


def _shifted(findings: Sequence[PrivacyResult]) -> list[str]:
    blind = of_measure(findings, _BLIND)
    shifted = [each for each in blind if each.exceeds(len(blind))]
    if not shifted:
        return []
    best = highest(shifted)
    return [
        f"But the holdout is of another kind: without any generator, it is told from the {_PEOPLE[best.who]} with "
        f"{_shown(best)} in {best.space}, so that the attacks may owe their success to that."
    ]


def _not_shown(findings: Sequence[PrivacyResult], sizes: Mapping[str, Sizes]) -> list[str]:
    attacks = [each for each in of_measure(findings, "membership/") if each.measure != _BLIND]
    unseen = [each for each in attacks if each.figure.interval and not each.exceeds(len(attacks))]
    upper = max((each.figure.interval[1] for each in unseen if each.figure.interval), default=1.0)
    holdout = sizes["holdout"]
    sentences = [
        "These are lower bounds: an attacker with other models trained for comparison, or with knowledge of "
        "particular patients, may do better.",
        f"With {holdout.patients} patients held out, attacks that found nothing may still reach an area under the "
        f"curve of {upper:.2f}.",
        "Averages say little of the single patient: a rare one may be given away while all others are not.",
        f"They hold for these weights, these densities and {sizes['synthetic'].samples} generated samples; more "
        "samples give away more.",
        "Nothing here is proof of anonymity, nor any guarantee such as differential privacy gives; weights and "
        "densities of real patients remain personal data.",
    ]
    if holdout.samples < 100:
        sentences.insert(
            2,
            f"With {holdout.samples} samples held out, 1 % of false positives cannot be told from none; by chance "
            f"{1 / (holdout.samples + 1):.1%} are recognized.",
        )
    return sentences


def _attack(finding: PrivacyResult) -> str:
    _, _, name = finding.measure.partition("/")
    return f"{name} in {finding.space}" if finding.space != "model" else f"{name}, asked of the model itself"


def _shown(finding: PrivacyResult) -> str:
    low, high = finding.figure.interval or (float("nan"), float("nan"))
    return f"an area under the curve of {finding.figure.value:.2f} ({low:.2f} to {high:.2f})"
