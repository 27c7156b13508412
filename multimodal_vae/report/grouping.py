"""Subgroups of samples by a column of the manifest, which identify nobody."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.names import check_names, clean, is_missing_word, names_of

MAX_GROUPS = 12
"""Groups per column; a text column with more values identifies individuals."""
BANDS = 4
UNKNOWN = "not known"


def subgroups(data: MultimodalDataset, column: str) -> list[str]:
    """Return the subgroup of each sample, (N,).

    A numeric column with more than :data:`MAX_GROUPS` values is cut at its quartiles. The outer bands are open, so
    that they reveal no extreme value. Empty cells, and words for missing values among numbers, are not known.

    Args:
        data: data with the column among its metadata.
        column: name of the column.

    Raises:
        DataError: if there is no such column, or if its values identify samples or patients, differ only in form, or
            are words for missing values among other words.
    """
    column = clean(column)
    if column not in data.metadata:
        raise DataError(f"the data has no column {column!r} to group by; {did_you_mean(column, data.metadata)}")
    values = names_of(data.metadata[column], f"the column {column!r}")
    distinct = sorted({value for value in values if value and not is_missing_word(value)})
    numbers = _numbers(distinct)
    if numbers is not None:
        values = ["" if is_missing_word(value) else value for value in values]
    if numbers is not None and len(distinct) > MAX_GROUPS:
        return _bands([float(value) if value else math.nan for value in values])
    if len(distinct) > MAX_GROUPS or (numbers is None and {*distinct} & {*data.patients, *data.ids}):
        raise DataError(
            f"the column {column!r} has {len(distinct)} values, which identify samples rather than groups; group by "
            f"a column of numbers, or of at most {MAX_GROUPS} values"
        )
    check_names(f"{column} value", values, lambda row: f"sample {data.ids[row]!r}")
    return [value or UNKNOWN for value in values]


def in_order(groups: Sequence[str]) -> list[str]:
    """Return the distinct groups in natural order: numbers by size, the unknown last.

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
