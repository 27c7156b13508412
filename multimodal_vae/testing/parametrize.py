"""Laws as parameters of a pytest test."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from multimodal_vae.part import Part
from multimodal_vae.testing.law import laws

if TYPE_CHECKING:
    import pytest


def parametrize_with_checks(parts: "Iterable[Part | type[Part]]") -> "pytest.MarkDecorator":
    """Parametrize a test with all laws of the given parts.

    Args:
        parts: instances, or classes whose settings all have defaults.

    Example:
        The test file of a plugin::

            from multimodal_vae.testing import parametrize_with_checks
            from multimodal_vae_eeg import EEG

            @parametrize_with_checks([EEG, EEG(channels=64)])
            def test_laws(part, check):
                check(part)
    """
    import pytest

    instances = [part() if isinstance(part, type) else part for part in parts]
    counts: Counter[str] = Counter()
    cases = []
    for part in instances:
        label = type(part).__name__
        counts[label] += 1
        number = f"-{counts[label]}" if counts[label] > 1 else ""
        cases += [pytest.param(part, each, id=f"{label}{number}-{each.name}") for each in laws(part.kind)]
    return pytest.mark.parametrize(("part", "check"), cases)
