"""The verdict of an audit: conclusions and limitations in words."""

from collections.abc import Mapping, Sequence

from multimodal_vae.privacy.result import PrivacyResult, Sizes, Verdict, Who, highest, select

_PEOPLE: dict[Who, str] = {
    "train": "patients the model was trained on",
    "fitted on": "patients the densities were fitted on",
    "members": "patients given as members",
}
WITHOUT_GENERATOR = ("blind", "control")
"""Attacks that see no generated samples; they succeed if the holdout is from another population."""


def judge_results(results: Sequence[PrivacyResult], sizes: Mapping[str, Sizes]) -> Verdict:
    """Put the results of an audit into words.

    A leak is an attack, a share of copies or an inference significantly above its baseline, corrected for the number
        of tries. An exact copy is a leak too, if the holdout has none.

    Args:
        results: results of an audit.
        sizes: sizes of its sets, by name.
    """
    sentences: list[str] = []
    revealed: list[str] = []
    audited = {who: people for who, people in _PEOPLE.items() if who in sizes}
    for who, people in audited.items():
        rules = [_membership, _copies, _nearer, _inferred, _epsilon]
        if sizes["holdout"].patients >= 100:  # with fewer, a single patient exceeds a rate of 1 %
            rules.insert(1, _recognized)
        outcomes = [rule(results, who) for rule in rules]
        sentences += [sentence for sentence, _ in outcomes if sentence]
        revealed += [people] if any(leak for _, leak in outcomes) else []
    first = (
        f"The samples or the model reveal something about the {' and the '.join(revealed)}."
        if revealed
        else f"No attack distinguishes the {' or the '.join(audited.values())} from other patients."
    )
    return Verdict(bool(revealed), [first, *sentences, *_shifted(results)], _limitations(results, sizes))


def _membership(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    attacks = attacks_of(results, "membership/", who)
    strongest, people = highest(attacks), _PEOPLE[who]
    successes = [each for each in attacks if each.exceeds(len(attacks))]
    if successes:
        best = highest(successes)
        return f"The {people} are distinguished from others by {attack_words(best)}: {_area(best)}.", True
    return (
        f"The {people} are not distinguished from others by any of {len(attacks)} attacks beyond chance; the "
        f"strongest, {attack_words(strongest)}, has {_area(strongest)}.",
        False,
    )


def _recognized(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    shares = attacks_of(results, "recognized/", who)
    successes = [each for each in shares if each.exceeds(len(shares)) and each.value > 0.05]
    if not successes:
        return "", False
    best = highest(successes)
    return (
        f"At a false positive rate of 1 %, {attack_words(best)} recognizes {best.value:.0%} of the {_PEOPLE[who]}.",
        True,
    )


def _copies(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    counts, leak = [], False
    for kind in ("exact", "near"):
        shares = [each for each in select(results, f"copies/{kind}", who) if each.space.startswith("data")]
        worst = highest(shares)
        reference = worst.real or 0.0
        if worst.value > 0:
            counts.append(
                f"{int(worst.context['samples'])} ({worst.value:.1%}; {reference:.1%} of the holdout) are {kind} "
                f"copies in {worst.space}"
            )
        leak = leak or worst.exceeds(len(shares)) or (kind == "exact" and worst.value > 0 and reference == 0)
    if not counts:
        return f"No generated sample is a copy of a record of the {_PEOPLE[who]}.", False
    return f"Of the generated samples, {', and '.join(counts)}, of records of the {_PEOPLE[who]}.", leak


def _nearer(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    shares = [*select(results, "nearer", who), *select(results, "adversarial", who)]
    successes = [each for each in shares if each.exceeds(len(shares))]
    if not successes:
        return "", False
    best = highest(successes)
    return (
        f"Generated samples are nearer to the {_PEOPLE[who]} than to others, by {len(successes)} of {len(shares)} "
        f"metrics such as {best.name!r} in {best.space}, {best.value:.2f} where {best.real:g} is chance.",
        True,
    )


def _inferred(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    guesses = select(results, "guessed/", who)
    successes = [each for each in guesses if each.exceeds(len(guesses))]
    if not successes:
        return "", False
    best = highest(successes)
    return (
        f"Generated samples predict the {best.name.removeprefix('guessed/')} of the {_PEOPLE[who]} better "
        f"({best.context['members']:.2f}) than that of others ({best.context['others']:.2f}), in {best.space}.",
        True,
    )


def _epsilon(results: Sequence[PrivacyResult], who: Who) -> tuple[str, bool]:
    best = highest(select(results, "epsilon/", who))
    if best.value == 0:
        return "", False
    return (
        f"No guarantee of differential privacy with epsilon below {best.value:.2f} (delta {best.context['delta']:g}) "
        f"holds for the {_PEOPLE[who]}, by {attack_words(best)}, at 95 % confidence.",
        False,
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
    attacks = attacks_of(results, "membership/")
    failures = [each for each in attacks if each.interval and not each.exceeds(len(attacks))]
    upper = max((each.interval[1] for each in failures if each.interval), default=1.0)
    holdout = sizes["holdout"]
    shadows = select(results, "membership/shadows")
    sentences = [
        f"The metrics are lower bounds: an attacker with {'more ' * bool(shadows)}shadow models, or with knowledge of "
        "particular patients, may do better.",
        f"With {holdout.patients} held-out patients, attacks that failed may still reach an area under the curve of "
        f"{upper:.2f}.",
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


def attack_words(result: PrivacyResult) -> str:
    """Return the name of an attack and its space in words."""
    _, _, name = result.name.partition("/")
    return f"{name} in {result.space}" if result.space != "model" else f"the model's own {name}"


def _area(result: PrivacyResult) -> str:
    low, high = result.interval or (float("nan"), float("nan"))
    return f"an area under the curve of {result.value:.2f} ({low:.2f} to {high:.2f})"
