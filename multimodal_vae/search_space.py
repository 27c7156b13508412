"""The search space of a tuning: settings by their dotted names, each with its choices or its range."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict

SECTIONS = ("modalities", "model", "training", "density", "refinement")
"""Sections of a recipe whose settings can be tuned."""


class Range(BaseModel):
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        low: the lowest; two whole numbers make a range of whole numbers.
        high: the highest.
        log: whether to search by orders of magnitude.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    log: bool = False

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low must be below high; they are {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log = true must be above 0; low is {self.low}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range is of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def flatten(table: Any) -> Any:
    """Return nested tables as one table with dotted names; other values as they are.

    Example:
        >>> flatten({"model": {"latent_dim": [8, 16]}, "training.learning_rate": {"low": 1e-4, "high": 1e-3}})
        {'model.latent_dim': [8, 16], 'training.learning_rate': {'low': 0.0001, 'high': 0.001}}
    """
    if not isinstance(table, Mapping):
        return table
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} <= set(value):
            flat |= {f"{name}.{inner}": each for inner, each in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def _read(table: Any) -> Any:
    space = flatten(table)
    for name, each in space.items() if isinstance(space, dict) else ():
        if each == []:
            raise ValueError(f"{name} has no choices")
        if name.split(".")[0] not in SECTIONS or "." not in name:
            raise ValueError(f"{name!r} is no setting to tune; give one of {', '.join(SECTIONS)}, as model.latent_dim")
    return space


Space = Annotated[dict[str, Range | list[Any]], pydantic.BeforeValidator(_read)]
"""Choices or range of each setting."""

DEFAULT: dict[str, Any] = {
    "model.latent_dim": [8, 16, 32, 64],
    "model.objective.metric_weight": {"low": 0.1, "high": 10.0, "log": True},
    "training.learning_rate": {"low": 3e-4, "high": 3e-3, "log": True},
}
"""What is tuned where a recipe has no ``[tune]``."""


def read_space(table: Any) -> dict[str, Any]:
    """Return a checked search space.

    Raises:
        pydantic.ValidationError: naming the setting.
    """
    space: dict[str, Any] = pydantic.TypeAdapter(Space).validate_python(table)
    return space


def with_settings(table: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested tables with other values at dotted names.

    Raises:
        ValueError: if a name leads through a value that is no table.

    Example:
        >>> with_settings({"model": {"seed": 0}}, {"model.latent_dim": 8})
        {'model': {'seed': 0, 'latent_dim': 8}}
    """
    result = dict(table)
    for name, value in settings.items():
        *sections, key = name.split(".")
        place = result
        for section in sections:
            inner = place.get(section, {})
            if not isinstance(inner, Mapping):
                raise ValueError(f"{name!r} is no setting: {section} is {inner!r}, which has none")
            place[section] = dict(inner)
            place = place[section]
        place[key] = value
    return result
