"""Counts of named features, such as genes, proteins or species, in AnnData and MuData files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae import Counts
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.modalities.counts import CountDistribution
from multimodal_vae_omics.matrix import open_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = re.compile(r"(.+\.(?:h5ad|h5mu))(?:#(.+))?", re.IGNORECASE)
_BARS = 30
"""Most features of a plot."""


class Omics(Counts):
    """Raw counts of named features in one observation, such as a cell.

    A manifest's cell is ``file.h5ad#observation``, or a ``.npy`` file of (features,), as of generated samples.

    Args:
        variables: names of the features, in the order of a sample's elements; ``mmvae-omics prepare`` chooses them.
        assay: modality within ``.h5mu`` files. Default: their only one.
        layer: layer that holds raw counts. Default: ``X``.
        distribution: as of :class:`~multimodal_vae.Counts`; with ``"presence"``, any count above 0 is present.
        hidden: width of the perceptron's two hidden layers.
    """

    def __init__(
        self,
        variables: Annotated[Sequence[str], Field(min_length=1)],
        assay: str | None = None,
        layer: str | None = None,
        distribution: CountDistribution = "negative_binomial",
        hidden: PositiveInt = 256,
    ) -> None:
        if len({*variables}) < len(variables):
            raise ConfigurationError(f"{self.name!r}: the variables are not unique; name each once")
        super().__init__(len(variables), distribution, hidden, "path")
        self.variables = list(variables)
        self.assay = assay
        self.layer = layer

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read the counts of one observation."""
        match = _CELL.fullmatch(str(cell))
        if not match:
            return super().read(cell)
        with open_matrix(Path(match[1]), self.assay, self.layer) as matrix:
            name = match[2] or next(iter(matrix.rows), "")
            if name not in matrix.rows or (match[2] is None and len(matrix.rows) > 1):
                advice = did_you_mean(match[2] or "", list(matrix.rows)[:1000])
                raise DataError(f"has no observation {match[2] or ''!r}; write file.h5ad#observation; {advice}")
            counts = matrix.row(name)[matrix.places(self.variables)]
        wrong = counts[(counts != counts.round()) | (counts < 0)]
        if len(wrong):
            raise DataError(f"holds {wrong[0]:g}, which is no raw count; name the layer of raw counts in 'layer'")
        return (counts > 0).astype(np.float32) if self.distribution == "presence" else counts

    def files(self, cell: str | Path) -> list[Path]:
        """Return the file of a cell."""
        match = _CELL.fullmatch(str(cell))
        return [Path(match[1] if match else cell)]

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot the highest counts with the names of their features."""
        highest = sample.argsort(descending=True)[:_BARS].flip(0)
        ax.barh([self.variables[place] for place in highest.tolist()], sample[highest].numpy())
