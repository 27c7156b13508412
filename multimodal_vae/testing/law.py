"""Laws: conformance tests that every part of a kind passes."""

import copy
import importlib
import inspect
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import Any

from multimodal_vae.part import Part
from multimodal_vae.registry import KINDS
from multimodal_vae.scopes import seeded

_MODULES = ("modality", "fusion", "metric_loss", "sampler", "refiner", "logger", "common")
_LAWS: list["Law"] = []


class LawBroken(AssertionError):  # noqa: N818  (named for what happened)
    """A part breaks a law.

    Attributes:
        actual: what the part did.
        expected: what the law requires.
    """

    def __init__(self, actual: str, expected: str, where: str = "") -> None:
        self.actual = actual
        self.expected = expected
        super().__init__(f"{where}{': ' if where else ''}actual: {actual}; expected: {expected}")


@dataclass(frozen=True)
class Law:
    """One law of one kind of part; a call with a part raises if the part breaks it.

    Attributes:
        kind: kind of part.
        name: name of the law.
        statement: what the law requires, in one sentence.
    """

    kind: str
    name: str
    statement: str
    _test: Callable[[Any], None]

    def __call__(self, part: Part) -> None:
        """Test a copy of a part, with seeded random numbers.

        Raises:
            LawBroken: with the law, the part, what the part did and what the law requires.
        """
        where = f"law {self.name!r} of a {self.kind}, on {part!r}"
        try:
            with seeded(0), redirect_stderr(StringIO()):  # a logger may print
                self._test(copy.deepcopy(part))
        except LawBroken as broken:
            raise LawBroken(broken.actual, broken.expected, where) from broken.__cause__
        except Exception as error:  # any exception of the part breaks the law
            raise LawBroken(f"{type(error).__name__}: {error}", self.statement, where) from error


def law(*kinds: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Declare a function to be a law: its name is the law's name, the first line of its docstring the statement."""

    def declare(test: Callable[[Any], None]) -> Callable[[Any], None]:
        statement = (inspect.getdoc(test) or "").splitlines()[0]
        _LAWS.extend(Law(kind, test.__name__, statement, test) for kind in kinds)
        return test

    return declare


def laws(kind: str) -> list[Law]:
    """Return the laws of one kind of part.

    Args:
        kind: ``"modality"``, ``"fusion"``, ``"metric_loss"``, ``"sampler"``, ``"refiner"`` or ``"logger"``.

    Example:
        >>> [law.name for law in laws("logger")][0]
        'logs_any_metrics'
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of part; there are {', '.join(KINDS)}")
    modules = [importlib.import_module(f"multimodal_vae.testing.{module}").__name__ for module in _MODULES]
    of_kind = [each for each in _LAWS if each.kind == kind]
    return sorted(
        of_kind, key=lambda each: modules.index(each._test.__module__)
    )  # in whatever order they were imported


def expect(condition: bool, actual: Any, expected: str) -> None:
    """Require a condition.

    Raises:
        LawBroken: with what the part did and what the law requires.
    """
    if not condition:
        raise LawBroken(str(actual), expected)
