"""What a law is, and how one is tried on a part."""

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

_MODULES = ("modality", "fusion", "metric_loss", "sampler", "logger", "common")
_LAWS: list["Law"] = []


class LawBroken(AssertionError):  # noqa: N818  (named for what happened)
    """A part does not keep a law.

    Attributes:
        seen: what the part did.
        expected: what the law asks for.
    """

    def __init__(self, seen: str, expected: str, where: str = "") -> None:
        self.seen = seen
        self.expected = expected
        super().__init__(f"{where}{': ' if where else ''}seen: {seen}; expected: {expected}")


@dataclass(frozen=True)
class Law:
    """One law of one kind of part; called with a part, it returns where the part keeps it.

    Attributes:
        kind: of the parts it is for.
        name: of the law.
        statement: what it says, one sentence.
    """

    kind: str
    name: str
    statement: str
    _trial: Callable[[Any], None]

    def __call__(self, part: Part) -> None:
        """Try the law on a copy of a part, with seeded random numbers.

        Raises:
            LawBroken: with the law, the part, what was seen and what was expected.
        """
        where = f"law {self.name!r} of a {self.kind}, on {part!r}"
        try:
            with seeded(0), redirect_stderr(StringIO()):  # a logger may speak to whoever waits, which here is nobody
                self._trial(copy.deepcopy(part))
        except LawBroken as broken:
            raise LawBroken(broken.seen, broken.expected, where) from broken.__cause__
        except Exception as error:  # whatever a part raises breaks the law that was tried
            raise LawBroken(f"{type(error).__name__}: {error}", self.statement, where) from error


def law(*kinds: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Declare a function to be a law: its name is the law's, the first line of its docstring what it says."""

    def declare(trial: Callable[[Any], None]) -> Callable[[Any], None]:
        statement = (inspect.getdoc(trial) or "").splitlines()[0]
        _LAWS.extend(Law(kind, trial.__name__, statement, trial) for kind in kinds)
        return trial

    return declare


def laws(kind: str) -> list[Law]:
    """The laws of one kind of part.

    Args:
        kind: ``"modality"``, ``"fusion"``, ``"metric_loss"``, ``"sampler"`` or ``"logger"``.

    Example:
        >>> [law.name for law in laws("logger")][0]
        'takes_the_figures_of_any_training'
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of part; there are {', '.join(KINDS)}")
    for module in _MODULES:
        importlib.import_module(f"multimodal_vae.testing.{module}")
    return [each for each in _LAWS if each.kind == kind]


def expect(truth: bool, seen: Any, expected: str) -> None:
    """Hold that something is true, or say what was seen in its place."""
    if not truth:
        raise LawBroken(str(seen), expected)
