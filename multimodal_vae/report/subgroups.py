"""Subgroups of samples by a column of the manifest: each value, or bands of a number of many values."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import DataError, did_you_mean

MOST = 12
"""Groups of one column; a column of words with more values tells individuals apart rather than groups."""
BANDS = 4
UNKNOWN = "not known"


def subgroups(data: MultimodalDataset, column: str) -> list[str]:
    """The subgroup of each sample, (N,).

    A column of numbers with more than :data:`MOST` values is cut into quarters of the samples, whose outer ends are
    left open, so that nobody's extreme value is told.

    Args:
        data: with the column among its metadata.
        column: its name.

    Raises:
        DataError: if there is no such column, or its values tell samples or patients apart.
    """
    if column not in data.metadata:
        raise DataError(f"the data has no column {column!r} to group by; {did_you_mean(column, data.metadata)}")
    values = [value.strip() for value in data.metadata[column]]
    distinct = sorted({*values} - {""})
    numbers = _numbers(distinct)
    if numbers is not None and len(distinct) > MOST:
        return _bands([float(value) if value else math.nan for value in values])
    if len(distinct) > MOST or (numbers is None and {*distinct} & {*data.patients, *data.ids}):
        raise DataError(
            f"the column {column!r} has {len(distinct)} values, which tell samples apart rather than groups; "
            f"group by a column of numbers, or of {MOST} values at most"
        )
    return [value or UNKNOWN for value in values]


def in_order(groups: Sequence[str]) -> list[str]:
    """The names of groups as people would list them, numbers by their size and the unknown last.

    Example:
        >>> in_order(["10", "9", "not known", "9"])
        ['9', '10', 'not known']
    """
    return sorted({*groups}, key=_place)


def _place(name: str) -> tuple[bool, float, str]:
    first = name.removeprefix("below ").split(" ")[0]
    number = _numbers([first])
    return name == UNKNOWN, (-math.inf if name.startswith("below ") else number[0]) if number else 0.0, name


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _bands(values: Sequence[float]) -> list[str]:
    edges = np.unique(np.nanquantile(values, np.arange(1, BANDS) / BANDS, method="nearest"))
    inner = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    names = [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and above"]
    return [UNKNOWN if math.isnan(x) else names[int(np.searchsorted(edges, x, side="right"))] for x in values]
