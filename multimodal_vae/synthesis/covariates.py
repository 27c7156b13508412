"""Covariates of new samples, drawn as the cohort has them within a class.

What is stored names no patient: counts of combinations per class. A covariate of numbers takes part by bands, cut at
the quartiles; the outer bands end at the outer fortieths, so that no extreme value is stored.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import pydantic
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from multimodal_vae.data.covariates import Covariate, check_given
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import DataError, RunError, listing

MOST_LEVELS = 12
"""Most different numbers of a covariate that are stored as they are; of more, bands are."""

_CUTS = torch.tensor([0.025, 0.25, 0.5, 0.75, 0.975], dtype=torch.float64)
_MISSING = -1

Band = tuple[pydantic.FiniteFloat, pydantic.FiniteFloat]


class CovariateCounts(BaseModel):
    """How often combinations of covariates occur per class.

    Attributes:
        bands: by name of a covariate of numbers, lowest and highest value of each band.
        whole: names of those whose values are whole.
        counts: by class, rows of one index per covariate, of its word or band or -1 for a missing value, and a count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: dict[str, list[Band]]
    whole: list[str]
    counts: dict[str, list[list[Annotated[int, pydantic.Field(ge=-1, lt=2**53)]]]]

    @classmethod
    def of(cls, data: MultimodalDataset) -> Self:
        """Count the combinations of a data set's labeled samples."""
        bands, whole, codes = dict[str, list[Band]](), [], torch.zeros(data.covariates.shape, dtype=torch.int64)
        for column, covariate in enumerate(data.covariate_types):
            x = data.covariates[:, column].double()
            known = x[~x.isnan()]
            if covariate.kind == "number":
                bands[covariate.name] = _bands(known)
                whole += [covariate.name] if bool((known == known.round()).all()) else []
                edges = torch.tensor([low for low, _ in bands[covariate.name]][1:], dtype=torch.float64)
                codes[:, column] = torch.bucketize(x, edges, right=True)
            else:
                codes[:, column] = x.nan_to_num(0).long()
            codes[x.isnan(), column] = _MISSING
        counts = {}
        for index, label in enumerate(data.classes):
            rows = Counter(map(tuple, codes[data.labels == index].tolist()))
            counts[label] = [[*row, times] for row, times in sorted(rows.items())]
        return cls(bands=bands, whole=whole, counts=counts)

    def require_fit(self, covariates: Sequence[Covariate], classes: Sequence[str]) -> None:
        """Raise RunError unless these are counts of some covariates and classes, as a file may hold any."""
        bands: dict[str, Sequence[Any]] = {**self.bands}
        sizes = [len(each.values or bands.get(each.name, ())) for each in covariates]
        for label in classes:
            rows = self.counts.get(label, [])
            if not rows or any(
                len(row) != len(sizes) + 1 or row[-1] < 1 or any(map(int.__ge__, row, sizes)) for row in rows
            ):
                raise RunError(f"it holds no counts of the covariates in class {label!r}; delete the file to fit anew")

    def draw(
        self, covariates: Sequence[Covariate], label: str, count: int, seed: int, given: Mapping[str, Any] | None
    ) -> Tensor:
        """Draw covariates (count, C), among the combinations of the class that have the given values, if there are any.

        Args:
            covariates: the typed covariates.
            label: the class.
            count: number of samples.
            seed: seed of the draws.
            given: fixed values by name, one for all samples.

        Raises:
            DataError: if a given covariate or value is unknown, or no sample had the word.
        """
        fixed = {}
        for name, texts in check_given(covariates, given or {}).items():
            column = [each.name for each in covariates].index(name)
            if len(texts) != 1:
                raise DataError(f"the covariate {name!r} is given {len(texts)} values; give one for all samples")
            fixed[column] = covariates[column].read(texts[0])
            self._require_known(covariates[column], column, fixed[column])
        table = torch.tensor(self.counts[label])
        matching = torch.ones(len(table), dtype=torch.bool)
        for column, value in fixed.items():
            if covariates[column].kind == "word":
                matching &= table[:, column] == (_MISSING if math.isnan(value) else int(value))
        table = table[matching] if bool(matching.any()) else table
        digest = hashlib.blake2b(f"{seed} covariates".encode(), digest_size=4).digest()  # unlike the latents' seed
        generator = torch.Generator().manual_seed(int.from_bytes(digest))
        rows = table[torch.multinomial(table[:, -1].double(), count, replacement=True, generator=generator), :-1]
        values = torch.where(rows == _MISSING, torch.nan, rows.double())
        for column, covariate in enumerate(covariates):
            place = torch.rand(count, generator=generator, dtype=torch.float64)
            if covariate.kind == "number":
                low, high = torch.tensor(self.bands[covariate.name], dtype=torch.float64).reshape(-1, 2).unbind(1)
                band = rows[:, column].clamp_min(0)
                drawn = low[band] + place * (high - low)[band] if len(low) else place
                drawn = drawn.round() if covariate.name in self.whole else drawn
                values[:, column] = torch.where(rows[:, column] == _MISSING, torch.nan, drawn)
            if column in fixed:
                values[:, column] = fixed[column]
        return values.float()

    def _require_known(self, covariate: Covariate, column: int, value: float) -> None:
        """Raise DataError for a word that no counted sample has: nothing was learned of it."""
        if covariate.kind == "word" and not math.isnan(value):
            seen = {row[column] for rows in self.counts.values() for row in rows}
            if int(value) not in seen:
                words = [covariate.text(float(code)) for code in sorted(seen - {_MISSING})]
                raise DataError(
                    f"no training sample has the value {covariate.text(value)!r} of the covariate {covariate.name!r}; "
                    f"the ones that occur are {listing(words)}"
                )


def _bands(known: Tensor) -> list[Band]:
    """Return bands of numbers: their different values, or if these are many, the spans between quartiles."""
    levels = torch.unique(known)
    if len(levels) <= MOST_LEVELS:
        return [(value, value) for value in levels.tolist()]
    cuts = torch.unique(known.quantile(_CUTS))
    return [*zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]
