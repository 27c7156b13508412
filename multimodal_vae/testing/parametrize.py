"""Laws as pytest's parameters."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from multimodal_vae.part import Part
from multimodal_vae.testing.law import laws

if TYPE_CHECKING:
    import pytest


def parametrize_with_checks(parts: "Iterable[Part | type[Part]]") -> "pytest.MarkDecorator":
    """Parametrize a test with every law of every part given.

    Args:
        parts: parts with the settings to try, or classes whose settings all have defaults.

    Example:
        A whole test file of a plugin::

            from multimodal_vae.testing import parametrize_with_checks
            from multimodal_vae_ecg import ECG

            @parametrize_with_checks([ECG, ECG(leads=12)])
            def test_laws(part, check):
                check(part)
    """
    import pytest

    made = [part() if isinstance(part, type) else part for part in parts]
    seen: Counter[str] = Counter()
    cases = []
    for part in made:
        label = type(part).__name__
        seen[label] += 1
        number = f"-{seen[label]}" if seen[label] > 1 else ""
        cases += [pytest.param(part, each, id=f"{label}{number}-{each.name}") for each in laws(part.kind)]
    return pytest.mark.parametrize(("part", "check"), cases)
