"""Covariates: what is known of a sample beside its modalities, such as the site, the camera or the age.

A covariate holds numbers or words. Its type is found once, from all rows of a data set, and belongs to the run. A row's
value is the number itself or the index of its word, so that one float32 tensor (N, C) holds all covariates.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from torch import Tensor

from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean, listing
from multimodal_vae.names import check_names, is_missing_word, name_of, names_of, spelled

MOST_WORDS = 50
"""Most words of a covariate; a column with more, such as of names or dates, identifies people."""


class Covariate(BaseModel):
    """The name and type of a covariate.

    Args:
        name: name of the manifest's column.
        kind: ``"number"``, which networks get standardized by the training samples; or ``"word"``, which they get
            one-hot. Default: numbers if all values are numbers.
        values: the known words. Default: those in the data, sorted.

    Example:
        >>> [Covariate(name="site", kind="word", values=("A", "B")).read(word) for word in ("B", "")]
        [1.0, nan]
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["number", "word"] | None = None
    values: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    def settle(self, texts: Sequence[str], place: Callable[[int], str]) -> Self:
        """Return the covariate with the kind and the words of a column, unless it has them already.

        Args:
            texts: (N,), the values as text; empty if missing.
            place: describes where a row's value was found, for errors.

        Raises:
            DataError: if the column is empty, mixes numbers and words, or has too many words.
        """
        kind = self.kind or ("word" if self.values is not None else self._guess(texts, place))
        if kind == "number":
            return self.model_copy(update={"kind": kind, "values": None})
        check_names(f"value of the covariate {self.name!r}", texts, place)
        words = self.values if self.values is not None else tuple(sorted({*texts} - {""}))
        if len(words) > MOST_WORDS:
            raise DataError(
                f"the covariate {self.name!r} has {len(words)} different words; it takes numbers, or at most "
                f"{MOST_WORDS} words. Group them, or choose another column"
            )
        return self.model_copy(update={"kind": kind, "values": words})

    def _guess(self, texts: Sequence[str], place: Callable[[int], str]) -> Literal["number", "word"]:
        known = {row: text for row, text in enumerate(texts) if text and not is_missing_word(text)}
        if not known:
            raise DataError(f"the covariate {self.name!r} has no value; fill its column, or remove the covariate")
        words = [row for row, text in known.items() if _number(text) is None]
        if words and 2 * len(words) < len(known):
            raise DataError(
                f"the covariate {self.name!r} has numbers, but {place(words[0])} has {known[words[0]]!r}; correct it, "
                f'or name the covariate as {{name = "{self.name}", kind = "word"}}'
            )
        return "word" if words else "number"

    def read(self, text: str) -> float:
        """Return the value of a text: a number, or the index of a word; NaN if it is missing.

        Raises:
            DataError: if it is no number, or an unknown word.
        """
        if not text or (self.kind == "number" and is_missing_word(text)):
            return math.nan
        if self.kind == "number":
            number = _number(text)
            if number is None:
                raise DataError(f"the covariate {self.name!r} takes numbers with decimal points, not {text!r}")
            return number
        if text not in (self.values or ()):
            raise DataError(
                f"the covariate {self.name!r} has no value {spelled(text)}; the known ones are "
                f"{listing(self.values or ())}"
            )
        return float((self.values or ()).index(text))

    def text(self, value: float) -> str:
        """Return the text of a value; empty if it is missing."""
        if math.isnan(value):
            return ""
        return f"{value:.7g}" if self.kind == "number" else (self.values or ())[int(value)]


def _number(text: str) -> float | None:
    try:
        number = float(text.replace("_", "?"))  # Python would read 1_0 as 10
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def covariates_of(given: Iterable[Any]) -> list[Covariate]:
    """Return covariates from names, tables or instances, sorted by name, so that their order makes no difference.

    Raises:
        ConfigurationError: if one is no covariate, or given twice.
    """
    covariates = []
    for each in given:
        try:
            covariates.append(each if isinstance(each, Covariate) else Covariate.model_validate(each))
        except ValidationError as error:
            raise ConfigurationError(f"{each!r} is no covariate; give the name of a column") from error
    names = [each.name for each in covariates]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"the covariate {name!r} is given twice; remove one")
    return sorted(covariates, key=lambda each: each.name)


def read_columns(
    given: Iterable[Any],
    columns: Mapping[str, Sequence[str]],
    place: Callable[[int], str],
    count: int,
    source: Path | None = None,
) -> tuple[list[Covariate], Tensor]:
    """Return the typed covariates, and the values (N, C) of their columns.

    Args:
        given: as for :func:`covariates_of`.
        columns: (N,), texts by name of the column; empty if missing.
        place: describes where a row's value was found, for errors.
        count: number of rows.
        source: file of the columns, for errors.

    Raises:
        DataError: naming covariate and place; also if there is no such column, or another number of texts.
    """
    try:
        return _read_columns(covariates_of(given), columns, place, count)
    except DataError as error:
        raise DataError(f"{source}: {error}" if source else str(error)) from error


def _read_columns(
    covariates: Sequence[Covariate], columns: Mapping[str, Sequence[str]], place: Callable[[int], str], count: int
) -> tuple[list[Covariate], Tensor]:
    typed, values = list[Covariate](), torch.zeros(count, len(covariates))
    for number, each in enumerate(covariates):
        if each.name not in columns:
            raise DataError(
                f"there is no column {each.name!r} beside the modalities, which is a covariate; "
                f"{did_you_mean(each.name, columns)}"
            )
        texts = columns[each.name]
        if len(texts) != count:
            raise DataError(f"the covariate {each.name!r} has {len(texts)} values; there are {count} samples")
        covariate, known = each.settle(texts, place), dict[str, float]()
        for row, text in enumerate(texts):
            if text not in known:
                try:
                    known[text] = covariate.read(text)
                except DataError as error:
                    raise DataError(f"{place(row)}: {error}") from error
            values[row, number] = known[text]
        typed.append(covariate)
    return typed, values


def values_of_covariates(covariates: Sequence[Covariate], given: Any, count: int) -> Tensor:
    """Return the values (N, C) of samples whose covariates a caller gives.

    Args:
        covariates: the typed covariates.
        given: by name, one value for all samples or one per sample; None is a missing one. Or a tensor (N, C).
        count: number of samples.

    Raises:
        DataError: if a covariate is missing or unknown, or has other than ``count`` values.
    """
    if isinstance(given, Tensor) and given.shape == (count, len(covariates)):
        return given.detach().to("cpu", torch.float32)
    names = [each.name for each in covariates]
    table = check_given(covariates, given or {})
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(
            f"the model takes the covariate {missing[0]!r}, which is not given; give "
            f"covariates={{{missing[0]!r}: ...}}, one value or one per sample, or None where it is not known"
        )
    values = torch.zeros(count, len(covariates))
    for number, covariate in enumerate(covariates):
        cells = table[covariate.name]
        if len(cells) not in (1, count):
            raise DataError(f"the covariate {covariate.name!r} has {len(cells)} values; there are {count} samples")
        values[:, number] = torch.tensor([covariate.read(cell) for cell in cells])
    return values


def check_given(covariates: Sequence[Covariate], given: Any) -> dict[str, list[str]]:
    """Return the texts that a caller gives by name of a covariate: one, or one per sample.

    Raises:
        DataError: if they are no mapping, or a name is unknown.
    """
    names = [each.name for each in covariates]
    if not isinstance(given, Mapping):
        raise DataError(f"covariates are given by name, such as {{'site': 'A'}}, not as a {type(given).__name__}")
    for name in given:
        if name not in names:
            raise DataError(f"there is no covariate {name!r}; {did_you_mean(str(name), names)}")
    several = {name: hasattr(each, "__iter__") and not isinstance(each, str | bytes) for name, each in given.items()}
    return {
        name: names_of(each, f"values of the covariate {name!r}") if several[name] else [name_of(each)]
        for name, each in given.items()
    }


def texts_of(covariates: Sequence[Covariate], values: Tensor) -> list[dict[str, str]]:
    """Return the texts of each sample's values (N, C) by name, as a manifest has them; empty where they are missing."""
    return [
        {each.name: each.text(value) for each, value in zip(covariates, row, strict=True)} for row in values.tolist()
    ]


def read_settings(settings: Iterable[str]) -> dict[str, str]:
    """Return values by name from texts such as ``site=B``.

    Raises:
        DataError: if a text is none, or a name is given twice.

    Example:
        >>> read_settings(["site=B", "age="])
        {'site': 'B', 'age': ''}
    """
    values: dict[str, str] = {}
    for setting in settings:
        name, mark, value = setting.partition("=")
        if not mark or name.strip() in values:
            raise DataError(f"{setting!r} sets no covariate; give each once, such as site=B")
        values[name.strip()] = value.strip()
    return values


def check_same(data: Sequence[Covariate], model: Sequence[Covariate]) -> None:
    """Raise DataError if data has other covariates than a model, or of other types."""
    names, expected = [each.name for each in data], [each.name for each in model]
    if names != expected:
        raise DataError(
            f"the data has the covariates {names}, the model {expected}; read the data with covariates={expected}"
        )
    for one, other in zip(data, model, strict=True):
        if one != other:
            raise DataError(
                f"the covariate {one.name!r} has another kind or other words in the data than in the model; give "
                "covariate_types, those of the training data"
            )
