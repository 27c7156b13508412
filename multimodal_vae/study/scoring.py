"""The results of a study: ``results.json``, ``results.csv`` and a picture of the readers."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_vae.checks import checked
from multimodal_vae.evaluation.result import format_interval, format_number, json_values
from multimodal_vae.files import csv_text, inside, write_bytes, write_json
from multimodal_vae.study.answers import Answers, missing_words, read_answers
from multimodal_vae.study.chart import draw_readers
from multimodal_vae.study.key import Study, read_study
from multimodal_vae.study.measuring import measure_answers
from multimodal_vae.study.result import ALL, Score

RESULTS, TABLE, PICTURE = "results.json", "results.csv", "readers.png"
FEW_READERS = 5
"""Readers, below which an interval says little about other readers."""
NAMES = {"accuracy": "accuracy", "auc": "AUC", "kappa": "Fleiss' kappa"}


@checked
def score_study(folder: Path, paths: Sequence[Path], seed: int = 0) -> tuple[list[Score], list[str]]:
    """Score the answers of readers, and write ``results.json``, ``results.csv`` and ``readers.png`` into the folder.

    Args:
        folder: folder of the study.
        paths: one file of answers per reader.
        seed: seed of the bootstrap.

    Returns:
        The scores, and sentences about what limits them.

    Raises:
        RunError: if the folder is no study, or cannot be written.
        DataError: if a file of answers is at fault; see :func:`~multimodal_vae.study.answers.read_answers`.
    """
    study = read_study(folder)
    answers = read_answers(study, paths)
    scores = measure_answers(study, answers, seed)
    notes = limitations(study, answers)
    readers = [_reader(answers, row) for row in range(len(answers.readers))]
    record = {"version": 1, "study": study.record, "items": len(study.truth), "seed": seed, "readers": readers}
    record |= {"limitations": notes, "scores": [asdict(score) for score in scores]}
    write_json(inside(folder, RESULTS), json_values(record))
    header = ["metric", "reader", "by", "group", "value", "low", "high", "answers", "chance"]
    write_bytes(inside(folder, TABLE), csv_text([header, *map(_row, scores)]).encode())
    write_bytes(inside(folder, PICTURE), draw_readers(scores))
    return scores, notes


def limitations(study: Study, answers: Answers) -> list[str]:
    """Return a sentence per reason to distrust the scores."""
    sentences = missing_words(answers)
    if len(answers.readers) < FEW_READERS:
        sentences.append(f"with fewer than {FEW_READERS} readers, the intervals say little about other readers")
    if study.record["teach"]:
        sentences.append("the readers were told the truth after each answer, and may have learned from it")
    return sentences


def _reader(answers: Answers, row: int) -> dict[str, Any]:
    answered = answers.answered[row]
    seconds = answers.seconds[row][np.isfinite(answers.seconds[row])]
    return {
        "name": answers.readers[row],
        "answered": int(answered.sum()),
        "missing": int((~answered).sum()),
        "median_seconds": float(np.median(seconds)) if len(seconds) else None,
    }


def _row(score: Score) -> list[str]:
    numbers = [score.value, *(score.interval or (np.nan, np.nan))]
    values = [f"{number:.6g}" if np.isfinite(number) else "" for number in numbers]
    return [score.metric, score.reader, score.by, score.group, *values, str(score.answers), f"{score.chance:.6g}"]


def words(scores: Sequence[Score]) -> list[str]:
    """Return a line per score of all readers, and per score of each reader over all items.

    Example:
        >>> words([Score("auc", ALL, "class", "ill", 0.75, (0.5, 1.0), 40, 0.5)])
        ['AUC, class ill: 0.750, 95 % interval 0.500 to 1.000 (guessing 0.500)']
    """
    lines = []
    for score in scores:
        if score.reader != ALL and score.by:
            continue
        where = f", {score.by} {score.group}" if score.by else ""
        who = "" if score.reader == ALL else f", reader {score.reader}"
        interval = f", 95 % interval {format_interval(score.interval)}" if score.interval else ""
        guess = f"guessing {format_number(score.chance)}"
        lines.append(f"{NAMES[score.metric]}{where}{who}: {format_number(score.value)}{interval} ({guess})")
    return lines
