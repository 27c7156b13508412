"""The result of a study: one score per metric, reader and group of items."""

from dataclasses import dataclass

from multimodal_vae.evaluation.result import Number

ALL = "all readers"


@dataclass(frozen=True)
class Score:
    """One score.

    Args:
        metric: ``accuracy``, ``auc`` or ``kappa``.
        reader: name of the reader, or :data:`ALL` for the mean over readers.
        by: what the items are grouped by, ``class`` or ``source``; empty for all items.
        group: the class or source; empty for all items.
        value: the score; NaN if it is undefined.
        interval: 95 % confidence interval; None if resamples do not differ, as where all answers are right.
        answers: number of answers that it is computed from.
        chance: value of readers who guess.
    """

    metric: str
    reader: str
    by: str
    group: str
    value: Number
    interval: tuple[float, float] | None
    answers: int
    chance: float
