"""A trained model and a density a class: what new samples come from."""

import json
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import (
    ConfigurationError,
    DataError,
    MultimodalVAEWarning,
    RunError,
    SamplerError,
    did_you_mean,
)
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.provenance import records, require
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.drawing import draw

PRIORS = ("frequency", "uniform")
"""How common classes are taken to be: as among the samples that the densities are fitted to, or all alike."""


class Synthesizer:
    """Draws latents from the density of one class and decodes them into every modality together.

    Args:
        vae: a trained model.
        sampler: what learns each class's density; a copy of it is fitted to each class.

    Attributes:
        fitted_on: how many samples each class's density was fitted to.
        refused: why a class has no density, for instance that it has too few samples.

    Example:
        >>> import torch
        >>> from multimodal_vae import MultimodalDataset, Vector
        >>> data = MultimodalDataset.from_tensors({"x": torch.randn(8, 3)}, [0, 1] * 4, {"x": Vector(size=3)})
        >>> vae = MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
        >>> Synthesizer(vae, "kde").fit(data).sample("1", 5, seed=0)["x"].shape
        torch.Size([5, 3])
    """

    def __init__(self, vae: MultimodalVAE, sampler: Any = "kde") -> None:
        self.vae = vae
        self.sampler = DensitySampler.of(sampler)
        self.densities: dict[str, DensitySampler] = {}
        self.fitted_on: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    def fit(self, data: MultimodalDataset) -> Self:
        """Fit one density a class to the embeddings of labeled samples, and return itself.

        A class from which no density can be learned goes without: the others can be sampled, and it says why not.

        Raises:
            SamplerError: naming each class, if no density can be learned from any.

        Warns:
            MultimodalVAEWarning: of each class that goes without.
        """
        self.densities, self.fitted_on, self.refused = {}, {}, {}
        latents = self.vae.embed(data)
        classes = {name: latents[data.labels == index] for index, name in enumerate(data.classes)}
        prepared = self.sampler.prepare(list(classes.values()))
        for name, chosen in classes.items():
            try:
                self.densities[name] = DensitySampler.of(prepared).fit(chosen)
            except SamplerError as error:
                self.refused[name] = str(error)
            else:
                self.fitted_on[name] = len(chosen)
        if self.refused and not self.densities:
            raise SamplerError("; ".join(f"class {name!r}: {why}" for name, why in self.refused.items()))
        for name, why in self.refused.items():
            warnings.warn(
                f"the class {name!r} has no density, so nothing can be drawn of it: {why}",
                MultimodalVAEWarning,
                stacklevel=2,
            )
        return self

    def density(self, label: str) -> Distribution:
        """The density of one class, over latents (latent_dim,).

        Raises:
            SamplerError: if there is no such class, it has no density, or nothing has been fitted.
        """
        if label in self.refused:
            raise SamplerError(f"class {label!r}: {self.refused[label]}")
        if not self.densities:
            raise SamplerError("no density has been fitted; call fit first")
        if label not in self.densities:
            raise SamplerError(f"there is no class {label!r}; {did_you_mean(label, self.densities)}")
        density: Distribution = self.densities[label]()
        return density

    def latents(
        self, label: str, count: int, seed: int | None = None, temperature: float = 1.0, min_quantile: float = 0.0
    ) -> Tensor:
        """Draw new latents of one class, (count, latent_dim).

        Args:
            label: the class.
            count: how many.
            seed: of the draws; torch's default generator goes on where it is None.
            temperature: how far from the density's mean, relative to its draws: 0 gives the mean, 1 the draws.
            min_quantile: share of the density's least likely draws that is left out.

        Raises:
            SamplerError: if there is no such class, or nothing has been fitted.
            ConfigurationError: if a setting is out of range.
        """
        density = self.density(label)
        with seeded(seed):
            return draw(density, count, temperature, min_quantile)

    def sample(
        self, label: str, count: int, seed: int | None = None, temperature: float = 1.0, min_quantile: float = 0.0
    ) -> dict[str, Tensor]:
        """Draw new samples of one class, (count, *shape) by modality, belonging together row by row.

        The settings are those of :meth:`latents`.
        """
        return self.vae.generate(self.latents(label, count, seed, temperature, min_quantile))

    def classify(self, latents: Tensor, prior: str = "frequency") -> Tensor:
        r"""The probability of each class given latents, by Bayes' rule on the classes' densities.

        .. math:: P(k \mid z) = \frac{\pi_k\, p_k(z)}{\sum_j \pi_j\, p_j(z)}

        A kernel density remembers the latents that it was fitted to: of those very samples it is too sure.

        Args:
            latents: (N, latent_dim), such as posterior means.
            prior: :math:`\pi`; ``"frequency"``, each class's share of the samples that the densities are fitted to, or
                ``"uniform"``, one for all. What is right is how common the classes are where the samples come from.

        Returns:
            (N, K) of float64 in the order of the model's classes; each row sums to 1.

        Raises:
            ConfigurationError: if there is no such prior.
            DataError: if the latents are of another length, or not finite.
            SamplerError: if nothing has been fitted, a class has no density, or a latent is so far out that every
                density of it is zero.

        Source: Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical Learning*, equation 6.25.
        """
        if prior not in PRIORS:
            raise ConfigurationError(f"there is no prior {prior!r}; {did_you_mean(prior, PRIORS)}")
        if latents.shape[1:] != (self.vae.latent_dim,) or not bool(latents.isfinite().all()):
            raise DataError(
                f"latents of the shape {tuple(latents.shape)} are given to classify, and finite numbers of the shape "
                f"(N, {self.vae.latent_dim}) are wanted"
            )
        densities = [self.density(name).log_prob(latents).double().cpu() for name in self.vae.classes]
        weights = [self.fitted_on[name] if prior == "frequency" else 1 for name in self.vae.classes]
        joint = torch.stack(densities, 1) + torch.tensor(weights, dtype=torch.float64).log()
        lost = joint.amax(1).isneginf().nonzero().flatten().tolist()
        if lost:
            raise SamplerError(f"latent {lost[0]} has the density zero in every class, so no class can be told")
        return joint.softmax(1)

    def state(self) -> dict[str, Tensor]:
        """The tensors of all densities, by the number of the class and their name."""
        return {
            f"{index}.{name}": tensor
            for index, density in enumerate(self.densities.values())
            for name, tensor in density.state().items()
        }

    def save(self, path: Path) -> None:
        """Write the densities, without the model, as a safetensors file."""
        facts = {
            "sampler": self.sampler.configuration,
            "parts": records(self.sampler),
            "fitted_on": self.fitted_on,
            "refused": self.refused,
        }
        write_tensors(path, self.state(), {"synthesizer": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path, vae: MultimodalVAE) -> Self:
        """Read densities back.

        Raises:
            RunError: if the file is damaged, or belongs to a model with other classes.
        """
        tensors, metadata = read_tensors(path)
        try:
            facts = json.loads(metadata["synthesizer"])
            sampler, fitted_on, parts = facts["sampler"], dict(facts["fitted_on"]), list(facts["parts"])
            refused = dict(facts.get("refused", {}))
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} does not hold the densities of a synthesizer") from error
        if list(fitted_on) != [name for name in vae.classes if name not in refused]:
            raise RunError(f"{path} holds densities of the classes {list(fitted_on)}, and the model has {vae.classes}")
        require(parts, f"the density in {path}")
        synthesizer = cls(vae, sampler)
        synthesizer.fitted_on, synthesizer.refused = fitted_on, refused
        for index, name in enumerate(fitted_on):
            prefix = f"{index}."
            state = {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}
            synthesizer.densities[name] = DensitySampler.of(sampler).restore(state)
        return synthesizer
