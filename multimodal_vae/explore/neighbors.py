"""Samples that are nearest to a position in the latent: synthetic ones and, if given, those of patients."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.distances import nearest
from multimodal_vae.synthesis.marks import NOTICE
from multimodal_vae.synthesis.synthesizer import Synthesizer

SHOWN = 4
"""Neighbors of each kind."""
PER_CLASS = 200
"""Latents that are drawn per class, among which the synthetic neighbors are."""
PATIENT = "sample of a patient, not for diagnosis"
"""Notice of a real sample."""

_SEED = 2**32 - 1
"""Seed of these latents; those of the page's samples begin at 0."""


@dataclass(frozen=True)
class Neighbor:
    """One neighbor.

    Attributes:
        label: its class; empty if a real sample has none.
        real: whether it is a patient's sample.
        distance: distance in the latent; 1 is the median distance between two samples of the class in question.
        samples: by modality, (*shape); a real sample may lack some.
    """

    label: str
    real: bool
    distance: float
    samples: dict[str, Tensor]

    @property
    def notice(self) -> str:
        """What marks its pictures."""
        return PATIENT if self.real else NOTICE


class Neighbors:
    """The latents of generated samples, and of real ones if there are any.

    Args:
        synthesizer: model and densities.
        real: real samples. Default: none.
        covariates: covariates of generated samples to fix, by name.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        real: MultimodalDataset | None = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> None:
        self._synthesizer, self._fixed, self._real = synthesizer, covariates, real
        self._pools = {label: synthesizer.latents(label, PER_CLASS, _SEED) for label in synthesizer.densities}
        self._units = {label: float(torch.pdist(pool).median()) or 1.0 for label, pool in self._pools.items()}
        self._latents = torch.cat(list(self._pools.values()))
        self._real_latents = synthesizer.vae.embed(real) if real is not None else None

    def pool(self, label: str) -> Tensor:
        """Return the latents of generated samples of one class, (N, D)."""
        return self._pools[label]

    def nearest(self, latent: Tensor, label: str) -> list[Neighbor]:
        """Return the nearest generated samples, nearest first, and then the nearest real ones.

        Args:
            latent: (1, D).
            label: class whose samples give the unit of distance.
        """
        distances, rows = nearest(latent, self._latents, min(SHOWN, len(self._latents)))
        unit = self._units[label]
        found = [
            self._generated(row, distance / unit)
            for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True)
        ]
        if self._real is not None and self._real_latents is not None:
            distances, rows = nearest(latent, self._real_latents, min(SHOWN, len(self._real_latents)))
            for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True):
                found.append(_real(self._real, row, distance / unit))
        return found

    def _generated(self, row: int, distance: float) -> Neighbor:
        label, number = list(self._pools)[row // PER_CLASS], row % PER_CLASS
        given = self._synthesizer.draw_covariates(label, PER_CLASS, _SEED, self._fixed)[number : number + 1]
        latent = self._latents[row : row + 1]
        decoded = self._synthesizer.decode(latent, label, "mean", _SEED, number, covariates=given, refine=False)
        return Neighbor(label, False, distance, {name: x[0] for name, x in decoded.items()})


def _real(data: MultimodalDataset, row: int, distance: float) -> Neighbor:
    batch = data.batch(torch.tensor([row]))
    samples = {
        name: x[0] for (name, x), given in zip(batch.samples.items(), batch.present[0].tolist(), strict=True) if given
    }
    label = int(batch.labels[0])
    return Neighbor(data.classes[label] if label >= 0 else "", True, distance, samples)
