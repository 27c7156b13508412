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
_MEANINGS = {
    "copies/exact": "share of samples that equal a patient's record",
    "copies/near": "share of samples much nearer to a patient's record than other patients' records are",
    "nearer": "share of samples nearer to a member than to an unseen patient",
    "membership/distance": "AUC: members recognized by their distance to the samples",
    "membership/density ratio": "AUC: members recognized by how probable they are under the samples",
    "membership/reconstruction": "AUC: members recognized by the model's reconstruction loss",
    "membership/shadows": "AUC: members recognized by comparison with models trained without them",
    "recognized/": "share of members recognized while 1 % of unseen patients are taken for members",
    "epsilon/": "lower bound on the epsilon of any guarantee of differential privacy",
    "guessed/": "accuracy of guessing members' attributes, such as the class, from samples, minus that for others",
    "membership/blind": "AUC without any sample; above 0.5, the holdout is from another population",
    "membership/control": "AUC with members in place of samples; above 0.5, the holdout is from another population",
}
"""Meaning of a question's value, by beginning of the metrics."""


class Answer(NamedTuple):
    """The strongest result for a question.

    Attributes:
        question: the question.
        result: the result.
        where: space of the result, with the attack if several answer the question, and with its patients if several
            sets of patients were audited.
        meaning: meaning of the value.
    """

    question: str
    result: PrivacyResult
    where: str
    meaning: str


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
            where = f"{where}, {best.who}" if several else where
            answers.append(Answer(question, best, where, _MEANINGS[prefix]))
    return answers
