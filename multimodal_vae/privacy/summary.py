"""The summary of an audit: one result per question."""

from collections.abc import Iterable
from typing import NamedTuple

from multimodal_vae.privacy.result import PrivacyResult, highest
from multimodal_vae.privacy.verdict import attack_words, attacks_of

QUESTIONS = {
    "exact copies": "copies/exact",
    "near copies": "copies/near",
    "nearer than holdout": "nearer",
    "membership by distance": "membership/distance",
    "… by density ratio": "membership/density ratio",
    "… by reconstruction": "membership/reconstruction",
    "… by shadow models": "membership/shadows",
    "recognized at 1 %": "recognized/",
    "epsilon at least": "epsilon/",
    "inferred attributes": "guessed/",
    "blind (no generator)": "membership/blind",
    "control (no generator)": "membership/control",
}
"""Beginning of the metrics that answer a question, by question."""


class Answer(NamedTuple):
    """The strongest result for a question.

    Attributes:
        question: the question.
        result: the result.
        where: space of the result, with the attack if several answer the question, and with its patients if several
            sets of patients were audited.
    """

    question: str
    result: PrivacyResult
    where: str


def summary(results: Iterable[PrivacyResult]) -> list[Answer]:
    """Return the strongest result for each question that was measured, over all spaces and sets of patients.

    Copies are those in the data themselves. All results are in ``privacy.json``.
    """
    answers, results = list[Answer](), list(results)
    several = len({each.who for each in results}) > 1
    for question, prefix in QUESTIONS.items():
        found = [each for each in results if each.name.startswith(prefix)]
        if prefix.endswith("/"):
            found = attacks_of(found, prefix)
        elif prefix.startswith("copies"):
            found = [each for each in found if each.space.startswith("data")]
        if found:
            best = highest(found)
            where = attack_words(best) if prefix.endswith("/") else best.space
            answers.append(Answer(question, best, f"{where}, {best.who}" if several else where))
    return answers
