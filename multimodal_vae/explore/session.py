"""What sliders show: positions in the latent of a class become samples, pictures and neighbors."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.data.covariates import texts_of
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.explore.directions import Directions, main_directions
from multimodal_vae.explore.frame import Frame, png_uri
from multimodal_vae.explore.neighbors import PER_CLASS, Neighbors
from multimodal_vae.explore.view import FARTHEST, View
from multimodal_vae.plots import SampleFigure, plot_rows
from multimodal_vae.report.pictures import tiles
from multimodal_vae.synthesis.marks import NOTICE
from multimodal_vae.synthesis.synthesizer import Synthesizer

DIRECTIONS = 5
"""Largest number of main directions."""
END = 2.0
"""Where the pictures at both ends of a slider are taken, in standard deviations."""

_DRAWS = 1000
"""Draws from a density that its main directions are estimated from."""
_EXAMPLES = 64
"""Generated samples, of all classes together, to which axes and tables refer."""
_END_SIDE, _NEIGHBOR_SIDE = 48, 96
"""Sides of small pictures, in pixels."""


class Session:
    """A model and its densities, as the page shows them. It reads no data but for real neighbors.

    Args:
        synthesizer: model, densities and refiners.
        real: samples of patients to show as neighbors. Default: none.
        covariates: values of covariates to fix, by name. Default: as drawn for each sample.

    Raises:
        DataError: if a covariate or its value is unknown, or the fusion needs a modality that a real sample lacks.
        SamplerError: if a density cannot be used.

    Example:
        >>> from multimodal_vae import MultimodalDataset, MultimodalVAE, Vector
        >>> data = MultimodalDataset.from_tensors({"x": torch.randn(8, 3)}, [0, 1] * 4, {"x": Vector(size=3)})
        >>> vae = MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
        >>> session = Session(Synthesizer(vae, "gaussian").fit(data))
        >>> session.samples(View(label="0", position=(1.0, 0.0)))["x"].shape
        torch.Size([3])
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        real: MultimodalDataset | None = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> None:
        self.synthesizer, self._vae = synthesizer, synthesizer.vae
        self.classes = list(synthesizer.densities)
        self._fixed = dict(covariates or {})
        self.directions = lru_cache(maxsize=64)(self._directions)
        self._drawn = lru_cache(maxsize=64)(self._draw)
        self._neighbors = Neighbors(synthesizer, real, self._fixed)
        examples = self._examples()
        self._modalities = {name: part.against(examples[name]) for name, part in self._vae.modalities.items()}
        self._frames = {name: Frame(part, examples[name]) for name, part in self._modalities.items()}
        self.hideable = self._find_hideable(examples)
        self.pool_size = len(self.classes) * PER_CLASS

    def _examples(self) -> dict[str, Tensor]:
        count = max(1, _EXAMPLES // len(self.classes))
        groups = [self._neighbors.pool(label)[:count] for label in self.classes]
        decoded = [
            self.synthesizer.decode(latents, label, "mean", 0, covariates=self._covariates(label, len(latents)))
            for label, latents in zip(self.classes, groups, strict=True)
        ]
        return {name: torch.cat([each[name] for each in decoded]) for name in self._vae.modalities}

    def _find_hideable(self, examples: Mapping[str, Tensor]) -> list[str]:
        """Return the modalities that the model infers from the others."""
        others = {name: {key: x[:1] for key, x in examples.items() if key != name} for name in examples}
        try:
            for name, given in others.items():
                if given:
                    self._vae.translate(given, name, covariates=self._covariates(self.classes[0], 1))
        except DataError:  # the fusion needs all modalities
            return []
        return list(others) if len(others) > 1 else []

    def _directions(self, label: str) -> Directions:
        draws = self.synthesizer.latents(label, _DRAWS, seed=0)
        mean = self.synthesizer.latents(label, 1, seed=0, temperature=0.0)[0]
        return main_directions(draws, mean, DIRECTIONS)

    def _draw(self, label: str, seed: int) -> tuple[Tensor, Tensor]:
        """Return the latent of a sample (D,) and its covariates (1, C), as ``mmvae sample`` draws them."""
        return self.synthesizer.latents(label, 1, seed)[0], self._covariates(label, 1, seed)

    def _covariates(self, label: str, count: int, seed: int = 0) -> Tensor:
        return self.synthesizer.draw_covariates(label, count, seed, self._fixed)

    def position(self, label: str, seed: int) -> list[float]:
        """Return the position of a new sample along the main directions of its class, in standard deviations.

        Positions beyond the ends of the sliders are moved to them.
        """
        position = self.directions(label).position(self._drawn(label, seed)[0])
        return [round(value, 4) for value in position.clamp(-FARTHEST, FARTHEST).tolist()]

    def latent(self, view: View) -> Tensor:
        r"""Return the latent of a view, (1, D).

        .. math:: z = m + T \left(\sum_k c_k \sigma_k v_k + r\right)

        See :class:`~multimodal_vae.explore.directions.Directions`; *T* is the temperature, and *r* the rest of the
        sample of the view's seed, or zero.

        Raises:
            ConfigurationError: if the number of positions is not that of directions.
        """
        directions = self.directions(view.label)
        if view.position and len(view.position) != len(directions.deviations):
            raise ConfigurationError(
                f"position has {len(view.position)} numbers; the class {view.label!r} has {len(directions.deviations)} "
                "main directions"
            )
        step = torch.zeros_like(directions.mean)
        if view.position:
            step = directions.offset(torch.tensor(view.position).to(step))
        if view.seed is not None:
            step = step + directions.rest(self._drawn(view.label, view.seed)[0])
        return (directions.mean + view.temperature * step)[None]

    def samples(self, view: View) -> dict[str, Tensor]:
        """Return the expected sample of a view, (*shape) by modality."""
        given = self._drawn(view.label, view.seed or 0)[1]
        decoded = self.synthesizer.decode(
            self.latent(view), view.label, "mean", view.seed or 0, covariates=given, refine=view.refine
        )
        return {name: x[0] for name, x in decoded.items()}

    def infer(self, view: View, samples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the model infers of the hidden modality from the others, (*shape) by name; nothing if none is.

        Raises:
            ConfigurationError: if the model infers no modality of this name.
        """
        if view.hidden is None:
            return {}
        if view.hidden not in self.hideable:
            known = did_you_mean(view.hidden, self.hideable) if self.hideable else "this model needs every modality"
            raise ConfigurationError(f"the modality {view.hidden!r} cannot be hidden; {known}")
        given = {name: x[None] for name, x in samples.items() if name != view.hidden}
        covariates = self._drawn(view.label, view.seed or 0)[1]
        return {view.hidden: self._vae.translate(given, view.hidden, covariates=covariates)[0]}

    def draw(self, view: View) -> dict[str, Any]:
        """Return the pictures of a view as data URIs: all modalities, and what is inferred of the hidden one."""
        samples = self.samples(view)
        inferred = self.infer(view, samples)
        covariates = texts_of(self._vae.covariates, self._drawn(view.label, view.seed or 0)[1])[0]
        return {
            "pictures": {name: png_uri(self._frames[name].draw(x)) for name, x in samples.items()},
            "inferred": {name: png_uri(self._frames[name].draw(x)) for name, x in inferred.items()},
            "covariates": ", ".join(f"{name} {value}" for name, value in covariates.items()),
        }

    def describe(self, label: str) -> list[dict[str, Any]]:
        """Return the main directions of a class: share of its variance, and pictures two deviations below and above.

        The pictures are of samples at the class mean otherwise, one per modality.
        """
        directions = self.directions(label)
        count = len(directions.deviations)
        ends = END * torch.cat([-torch.eye(count), torch.eye(count)])
        latents = directions.mean + directions.offset(ends.to(directions.mean))
        given = self._drawn(label, 0)[1].expand(len(latents), -1)
        decoded = self.synthesizer.decode(latents, label, "mean", 0, covariates=given, refine=False)
        drawn = [tiles(part, decoded[name], _END_SIDE) for name, part in self._modalities.items()]
        return [
            {
                "share": round(float(directions.shares[number]), 4),
                "low": [png_uri(pictures[number]) for pictures in drawn],
                "high": [png_uri(pictures[count + number]) for pictures in drawn],
            }
            for number in range(count)
        ]

    def neighbors(self, view: View) -> list[dict[str, Any]]:
        """Return the samples nearest to a view in the latent: class, whether real, distance and pictures.

        A distance of 1 is that of two random samples of the view's class.
        """
        return [
            {
                "label": each.label,
                "real": each.real,
                "distance": round(each.distance, 3),
                "pictures": {
                    name: png_uri(tiles(self._modalities[name], [x], _NEIGHBOR_SIDE)[0], each.notice)
                    for name, x in each.samples.items()
                },
            }
            for each in self._neighbors.nearest(self.latent(view), view.label)
        ]

    def figure(self, view: View) -> SampleFigure:
        """Return a figure of a view to save, with the notice in it: its sample and, below, what is inferred."""
        samples = self.samples(view)
        rows, titles = [samples], [f"{view.label}, generated"]
        if inferred := self.infer(view, samples):
            rows.append(inferred)
            titles.append(f"inferred from {', '.join(name for name in samples if name not in inferred)}")
        figure = plot_rows(self._modalities, rows, titles)
        figure.supxlabel(NOTICE, fontsize=7)
        return figure
