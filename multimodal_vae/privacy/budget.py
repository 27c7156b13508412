"""The ledger of what differentially private adaptations have spent of the patients beside whose manifest it lies."""

import datetime
from collections.abc import Sequence
from math import fsum
from pathlib import Path

from typing_extensions import TypedDict

from multimodal_vae.files import inside, read_json, remove_leftovers, write_json
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.locks import locked

LEDGER = ".mmvae_budget.json"
"""Name of the ledger in the manifest's folder."""


class Expense(TypedDict):
    r"""One adaptation.

    Attributes:
        date: when it began.
        manifest: name of the manifest.
        epsilon: :math:`\varepsilon`.
        delta: :math:`\delta`.
        unit: what the guarantee protects.
        weights: SHA-256 of the weights.
    """

    date: str
    manifest: str
    epsilon: float
    delta: float
    unit: str
    weights: str


class Total(TypedDict):
    """What several adaptations spent together."""

    epsilon: float
    delta: float
    adaptations: int


def spend(manifest: Path, guarantee: Guarantee, weights: str) -> Total:
    """Record an adaptation in the ledger, and return what all of the ledger have spent together.

    Call it before the noise is drawn, so that an interruption cannot hide a draw. The ledger counts every manifest of
    its folder: which of them share patients is not known.

    Args:
        manifest: manifest of the patients.
        guarantee: what the adaptation spends.
        weights: SHA-256 of the weights.

    Raises:
        RunError: if the ledger is damaged or cannot be written, or another process writes it.
    """
    with locked(manifest.parent):
        remove_leftovers(manifest.parent, LEDGER)
        path = inside(manifest.parent, LEDGER)
        expenses = read_json(path, list[Expense]) if path.exists() else []
        expenses.append(
            Expense(
                date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                manifest=manifest.name,
                epsilon=guarantee.epsilon,
                delta=guarantee.delta,
                unit=guarantee.unit,
                weights=weights,
            )
        )
        write_json(path, expenses)
    return total(expenses)


def total(expenses: Sequence[Expense]) -> Total:
    r"""Return the sum of expenses, by basic composition.

    Results that are :math:`(\varepsilon_i, \delta_i)`-private are together
    :math:`(\sum \varepsilon_i, \sum \delta_i)`-private.

    Source: Dwork and Roth (2014), *The Algorithmic Foundations of Differential Privacy*, theorem 3.16.
    """
    return Total(
        epsilon=fsum(each["epsilon"] for each in expenses),
        delta=fsum(each["delta"] for each in expenses),
        adaptations=len(expenses),
    )
