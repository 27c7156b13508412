"""Generated samples with what is needed to describe and to draw them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.overview import Overview, shaped

if TYPE_CHECKING:
    from multimodal_vae.plots import SampleFigure


class GeneratedSamples(Overview, dict[str, Tensor]):
    """Generated samples of one class: a dictionary of (N, *shape) by modality.

    Attributes:
        modalities: the modality by name.
        label: the class.
    """

    def __init__(self, samples: Mapping[str, Tensor], modalities: Mapping[str, Modality], label: str) -> None:
        super().__init__(samples)
        self.modalities = dict(modalities)
        self.label = label

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return the class and the number of samples, and the shape of one by modality."""
        shapes = {f"modality {name}": shaped(tuple(x.shape[1:])) for name, x in self.items()}
        return f"{self._count:,} generated samples of class {self.label}; synthetic, not for diagnosis", shapes

    @property
    def _count(self) -> int:
        return min(map(len, self.values()), default=0)

    def plot(self, count: int = 4) -> "SampleFigure":
        """Draw samples, with the modalities of each side by side; notebooks show the figure.

        Args:
            count: number of samples, evenly spaced.

        Raises:
            DataError: if there is no sample to draw.
        """
        from multimodal_vae.plots import evenly, plot_rows

        rows = [self.row(row) for row in evenly(range(self._count), count)]
        return plot_rows({name: self.modalities[name] for name in self}, rows, [self.label] * len(rows))

    def row(self, number: int) -> dict[str, Tensor]:
        """Return one sample, (*shape) by modality."""
        return {name: x[number] for name, x in self.items()}
