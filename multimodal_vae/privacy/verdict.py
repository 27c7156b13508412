"""The verdict of an audit: conclusions and limitations in words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from multimodal_vae.privacy.result import MODEL, PrivacyResult, Sizes, Verdict, Who, highest, select
from multimodal_vae.privacy.spaces import LATENT

_PEOPLE: dict[Who, str] = {
    "train": "patients the model was trained on",
    "fitted on": "patients the densities were fitted on",
    "members": "patients given as members",
}
WITHOUT_GENERATOR = ("blind", "control")
"""Attacks that see no generated samples; they succeed if the holdout is from another population."""
NEED_MODEL = (MODEL, LATENT)
"""Spaces of attacks that need the model itself."""


class _Finding(NamedTuple):
    """A sentence, empty if there is nothing to say, and the leaks that it names, strongest first."""

    sentence: str
    leaks: Sequence[PrivacyResult] = ()


def judge_results(results: Sequence[PrivacyResult], sizes: Mapping[str, Sizes]) -> Verdict:
    """Put the results of an audit into words.

    A leak is an attack, a share of copies or an inference significantly above its baseline, corrected for the number of
    tries. An exact copy is a leak too, if the holdout has none.

    Args:
        results: results of an audit.
        sizes: sizes of its sets, by name.
    """
    findings: list[_Finding] = []
    audited = {who: people for who, people in _PEOPLE.items() if who in sizes}
    for who in audited:
        rules = [_membership, _copies, _nearer, _inferred, _epsilon]
        if sizes["holdout"].patients >= 100:  # with fewer, a single patient exceeds a rate of 1 %
            rules.insert(1, _recognized)
        findings += [rule(results, who) for rule in rules]
    leaks = [leak for finding in findings for leak in finding.leaks]
    shifted, limitations = _shifted(results), _limitations(results, sizes)
    if leaks:
        evidence = next(finding.sentence for finding in findings if finding.leaks)
        summary = [_revealed(leaks), evidence, _advice(leaks, bool(shifted))]
    else:
        people = " or the ".join(audited.values())
        unseen = _undetected(results, sizes["holdout"])
        summary = [f"No attack distinguishes the {people} from other patients.", unseen, _NO_LEAK]
    details = [finding.sentence for finding in findings if finding.sentence]
    return Verdict(bool(leaks), [summary[0], *details, *shifted], limitations, summary)


_NO_LEAK = (
    "Publish the limitations with the samples, since an audit cannot prove anonymity, and keep the model: its weights "
    "and densities remain personal data."
)


def _revealed(leaks: Sequence[PrivacyResult]) -> str:
    people = " and the ".join(_PEOPLE[who] for who in dict.fromkeys(leak.who for leak in leaks))
    if all(leak.space in NEED_MODEL for leak in leaks):
        return f"The model reveals something about the {people}; no attack on the samples alone succeeds."
    of_model = any(leak.space == MODEL for leak in leaks)
    return f"The samples{' and the model' * of_model} reveal something about the {people}."


def _advice(leaks: Sequence[PrivacyResult], shifted: bool) -> str:
    """Return what to do about leaks: as little as helps."""
    if shifted:
        return (
            "First audit with a holdout from the same population (--holdout): this one differs from the members even "
            "without any generator."
        )
    if all(leak.space in NEED_MODEL for leak in leaks):
        return "Release samples only, and neither the model nor its densities."
    if all(leak.who == "fitted on" for leak in leaks):
        return "Do not release these samples; fit the densities on other patients (fit_on), and audit again."
    return (
        "Do not release these samples; train for fewer steps, increase kl_weight or use the sampler gaussian, and "
        "audit again."
    )


def _membership(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    attacks = attacks_of(results, "membership/", who)
    strongest, people = highest(attacks), _PEOPLE[who]
    successes = [each for each in attacks if each.exceeds(len(attacks))]
    if successes:
        best = highest(successes)
        return _Finding(
            f"The {people} are distinguished from others by {attack_words(best)}: {_area(best)}.", successes
        )
    return _Finding(
        f"The {people} are not distinguished from others by any of {len(attacks)} attacks beyond chance; the "
        f"strongest, {attack_words(strongest)}, has {_area(strongest)}."
    )


def _recognized(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    shares = attacks_of(results, "recognized/", who)
    successes = [each for each in shares if each.exceeds(len(shares)) and each.value > 0.05]
    if not successes:
        return _Finding("")
    best = highest(successes)
    sentence = (
        f"At a false positive rate of 1 %, {attack_words(best)} recognizes {best.value:.0%} of the {_PEOPLE[who]}."
    )
    return _Finding(sentence, successes)


def _copies(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    counts, leaks = [], []
    for kind in ("exact", "near"):
        shares = [each for each in select(results, f"copies/{kind}", who) if each.space.startswith("data")]
        worst = highest(shares)
        reference = worst.real or 0.0
        if worst.value > 0:
            counts.append(
                f"{int(worst.context['samples'])} ({worst.value:.1%}; {reference:.1%} of the holdout) are {kind} "
                f"copies in {worst.space}"
            )
        if worst.exceeds(len(shares)) or (kind == "exact" and worst.value > 0 and reference == 0):
            leaks.append(worst)
    if not counts:
        return _Finding(f"No generated sample is a copy of a record of the {_PEOPLE[who]}.")
    return _Finding(f"Of the generated samples, {', and '.join(counts)}, of records of the {_PEOPLE[who]}.", leaks)


def _nearer(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    shares = [*select(results, "nearer", who), *select(results, "adversarial", who)]
    successes = [each for each in shares if each.exceeds(len(shares))]
    if not successes:
        return _Finding("")
    best = highest(successes)
    return _Finding(
        f"Generated samples are nearer to the {_PEOPLE[who]} than to others, by {len(successes)} of {len(shares)} "
        f"metrics such as {best.name!r} in {best.space}, {best.value:.2f} where {best.real:g} is chance.",
        successes,
    )


def _inferred(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    guesses = select(results, "guessed/", who)
    successes = [each for each in guesses if each.exceeds(len(guesses))]
    if not successes:
        return _Finding("")
    best = highest(successes)
    return _Finding(
        f"Generated samples predict the {best.name.removeprefix('guessed/')} of the {_PEOPLE[who]} better "
        f"({best.context['members']:.2f}) than that of others ({best.context['others']:.2f}), in {best.space}.",
        successes,
    )


def _epsilon(results: Sequence[PrivacyResult], who: Who) -> _Finding:
    best = highest(select(results, "epsilon/", who))
    if best.value == 0:
        return _Finding("")
    return _Finding(
        f"No guarantee of differential privacy with epsilon below {best.value:.2f} (delta {best.context['delta']:g}) "
        f"holds for the {_PEOPLE[who]}, by {attack_words(best)}, at 95 % confidence."
    )


def attacks_of(results: Sequence[PrivacyResult], prefix: str, who: Who | None = None) -> list[PrivacyResult]:
    """Return the results of attacks on the generator, without those that see no generated samples."""
    names = [f"{prefix}{name}" for name in WITHOUT_GENERATOR]
    return [each for each in select(results, prefix, who) if each.name not in names]


def _shifted(results: Sequence[PrivacyResult]) -> list[str]:
    checks = [each for name in WITHOUT_GENERATOR for each in select(results, f"membership/{name}")]
    successes = [each for each in checks if each.exceeds(len(checks))]
    if not successes:
        return []
    best = highest(successes)
    reason = ", or a patient is among them under two names" if best.name.endswith("control") else ""
    return [
        f"Without any generator, {attack_words(best)} distinguishes the {_PEOPLE[best.who]} from others: "
        f"{_area(best)}. So the holdout is from another population{reason}. This may explain why attacks succeed."
    ]


def _limitations(results: Sequence[PrivacyResult], sizes: Mapping[str, Sizes]) -> list[str]:
    holdout = sizes["holdout"]
    shadows = select(results, "membership/shadows")
    sentences = [
        f"The metrics are lower bounds: an attacker with {'more ' * bool(shadows)}shadow models, or with knowledge of "
        "particular patients, may do better.",
        _undetected(results, holdout),
        "Averages say little about a single patient: a rare one may be revealed while all others are not.",
        f"The results hold for these weights, these densities and {sizes['synthetic'].samples} generated samples; "
        "more samples reveal more.",
        "No metric here proves anonymity or gives a guarantee such as differential privacy; weights and densities of "
        "real patients remain personal data.",
    ]
    if holdout.samples < 100:
        sentences.insert(
            2,
            f"With {holdout.samples} held-out samples, a false positive rate of 1 % cannot be measured; by chance "
            f"{1 / (holdout.samples + 1):.1%} are recognized.",
        )
    return sentences


def _undetected(results: Sequence[PrivacyResult], holdout: Sizes) -> str:
    attacks = attacks_of(results, "membership/")
    failures = [each for each in attacks if each.interval and not each.exceeds(len(attacks))]
    upper = max((each.interval[1] for each in failures if each.interval), default=1.0)
    return (
        f"With {holdout.patients} held-out patients, attacks that failed may still reach an area under the curve of "
        f"{upper:.2f} (0.5 is chance)."
    )


def attack_words(result: PrivacyResult) -> str:
    """Return the name of an attack and its space in words."""
    _, _, name = result.name.partition("/")
    return f"{name} in {result.space}" if result.space != "model" else f"the model's own {name}"


def _area(result: PrivacyResult) -> str:
    low, high = result.interval or (float("nan"), float("nan"))
    return f"an area under the curve of {result.value:.2f} (0.5 is chance; 95 % interval {low:.2f} to {high:.2f})"
