"""Generated samples with what is needed to describe and to draw them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multimodal_vae.data.labeled import LabeledDataset
from multimodal_vae.modalities.base import Modality
from multimodal_vae.overview import Overview, shaped

if TYPE_CHECKING:
    from multimodal_vae.plots import SampleFigure


class GeneratedSamples(Overview, dict[str, Tensor]):
    """Generated samples of one class: a dictionary of (N, *shape) by modality.

    Attributes:
        modalities: the modality by name.
        label: the class.
        classes: all classes of the model, in their order.
    """

    def __init__(
        self, samples: Mapping[str, Tensor], modalities: Mapping[str, Modality], label: str, classes: Sequence[str]
    ) -> None:
        super().__init__(samples)
        self.modalities = dict(modalities)
        self.label = label
        self.classes = list(classes)

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

    def as_dataset(self, modality: str | None = None) -> LabeledDataset:
        """Return the samples as pairs of a sample and its class index, for a training loop in plain torch.

        :meth:`~multimodal_vae.data.dataset.MultimodalDataset.as_dataset` returns real samples in the same form.

        Args:
            modality: the modality whose tensor, (*shape), is the sample. Default: a sample is a dictionary of all
                modalities.

        Raises:
            DataError: if there is no such modality.

        Example:
            >>> from multimodal_vae import Vector
            >>> samples = GeneratedSamples({"x": torch.ones(3, 2)}, {"x": Vector(size=2)}, "ill", ["well", "ill"])
            >>> samples.as_dataset("x")[0]
            (tensor([1., 1.]), 1)
        """
        return LabeledDataset(self, torch.full((self._count,), self.classes.index(self.label)), modality)
