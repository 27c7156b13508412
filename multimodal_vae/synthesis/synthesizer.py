"""Generation of new samples from a trained model and one density per class."""

import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, Self

import pydantic
import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import TypedDict

from multimodal_vae.checks import checked, require_finite
from multimodal_vae.data.covariates import check_given, values_of_covariates
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEWarning,
    PluginError,
    RunError,
    SamplerError,
    did_you_mean,
    one_line,
)
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.modalities.base import Noise
from multimodal_vae.model import Encodable, MultimodalVAE
from multimodal_vae.model_checks import check_latents, require_modality
from multimodal_vae.names import name_of
from multimodal_vae.overview import Overview, counted
from multimodal_vae.part import explain
from multimodal_vae.provenance import records, require
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.samplers.base import DensitySampler, Ranked
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.covariates import CovariateCounts
from multimodal_vae.synthesis.drawing import draw
from multimodal_vae.synthesis.refinement import refined
from multimodal_vae.synthesis.samples import GeneratedSamples

if TYPE_CHECKING:
    from multimodal_vae.plots import SampleFigure

PRIORS = ("frequency", "uniform")
"""Prior probabilities of the classes: their frequencies among the fitted samples, or uniform."""

_SEED = 0
"""Seed of the augmentation before fitting."""

_disclosed = set[str]()
"""Samplers of which the session has said what they disclose."""


def embed_versions(vae: MultimodalVAE, data: MultimodalDataset, augmented: int) -> Tensor:
    """Return the latents of samples, (1, N, latent_dim), or of several augmented versions, one by one."""
    with seeded(_SEED):
        return torch.stack([vae.embed(data, augmented=augmented > 0) for _ in range(max(1, augmented))])


class Synthesizer(Overview):
    """Draws latents from the density of one class and decodes them into all modalities.

    Args:
        vae: trained model.
        sampler: density sampler; a copy is fitted to each class. Default: ``auto``, which chooses one on held-out
            patients.
        augmented: number of augmented versions of each sample to fit to, as the modalities augment training samples;
            0, the samples themselves. More of them estimate a density of many dimensions from few patients better.
        refiners: trained refiners by modality, as :func:`~multimodal_vae.training.refining.fit_refiner` returns them.
            Default: none.

    Attributes:
        densities: fitted sampler by class.
        chosen: sampler whose copies are the densities, of another kind than the given one if that chooses, as ``auto``
            does; None before fitting.
        fitted_on: number of fitted samples by class.
        failures: reason by class without a density, such as too few samples.
        end_to_end: whether the networks learned from other people than the densities.
        covariate_counts: how often the fitted samples have which covariates, by class; None without covariates.

    Example:
        >>> import torch
        >>> from multimodal_vae import MultimodalDataset, Vector
        >>> data = MultimodalDataset.from_tensors({"x": torch.randn(8, 3)}, [0, 1] * 4, {"x": Vector(size=3)})
        >>> vae = MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
        >>> Synthesizer(vae).fit(data).sample("1", 5, seed=0)["x"].shape
        torch.Size([5, 3])
    """

    @checked
    def __init__(
        self,
        vae: MultimodalVAE,
        sampler: Any = "auto",
        augmented: Annotated[int, pydantic.Field(ge=0)] = 0,
        refiners: Mapping[str, Refiner] | None = None,
    ) -> None:
        self.vae = vae
        self.refiners = dict(refiners or {})
        for name in self.refiners:
            require_modality(name, vae.modalities)
        self.augmented = augmented
        self.sampler = DensitySampler.of(sampler)
        self.chosen: DensitySampler | None = None
        self.densities: dict[str, DensitySampler] = {}
        self.fitted_on: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.covariate_counts: CovariateCounts | None = None
        self.end_to_end = False

    @checked
    def fit(self, data: MultimodalDataset, reference: MultimodalDataset | None = None) -> Self:
        """Fit one density per class to the embeddings of labeled samples, and return this synthesizer.

        A class to which no density can be fitted is skipped with a warning; the others can be sampled.

        Args:
            data: samples to fit to.
            reference: samples of other people that are no secret; a private density starts from theirs.

        Raises:
            SamplerError: naming each class, if no class can be fitted.
            ConfigurationError: if the sampler is private, and the model has covariates.

        Warns:
            MultimodalVAEWarning: for each skipped class; and, once per session and sampler, of what its densities give
                away about the patients, as kernel densities do.
        """
        if self.vae.covariates and self.sampler.guarantee:
            raise ConfigurationError(
                f"the sampler {self.sampler.name!r} cannot be used with covariates, whose exact counts would break its "
                "guarantee; train a model without covariates"
            )
        self.densities, self.fitted_on, self.failures = {}, {}, {}
        self.covariate_counts = CovariateCounts.of(data) if self.vae.covariates else None
        rows, classes = self._embed(data)
        others = self._embed(reference)[1] if reference is not None else None
        patients = [[data.patients[row] for row in of_class.tolist()] * max(1, self.augmented) for of_class in rows]
        fitted = self.sampler.fit_classes(classes, patients, others)
        self.chosen = fitted.sampler
        for index, (name, density) in enumerate(zip(data.classes, fitted.densities, strict=True)):
            if density is None:
                self.failures[name] = fitted.failures[index]
            else:
                self.densities[name] = density
                self.fitted_on[name] = len(rows[index]) if density.fitted_on is None else density.fitted_on
        if self.failures and not self.densities:
            raise SamplerError("; ".join(f"class {name!r}: {reason}" for name, reason in self.failures.items()))
        for name, reason in self.failures.items():
            warnings.warn(
                f"the class {name!r} has no density and cannot be sampled: {reason}", MultimodalVAEWarning, stacklevel=2
            )
        if self.chosen.discloses and self.chosen.name not in _disclosed:
            _disclosed.add(self.chosen.name)
            warnings.warn(
                f"{self.chosen.name!r} gives patients away: {self.chosen.discloses}", MultimodalVAEWarning, stacklevel=2
            )
        return self

    def _embed(self, data: MultimodalDataset) -> tuple[list[Tensor], list[Tensor]]:
        """Return the rows of each class, and their latents."""
        versions = embed_versions(self.vae, data, self.augmented)
        rows = [(data.labels == index).nonzero().flatten() for index in range(len(data.classes))]
        return rows, [versions[:, of_class].flatten(0, 1) for of_class in rows]

    @property
    def guarantee(self) -> Guarantee | None:
        """The differential privacy of the densities; of the samples if ``end_to_end`` is set. None if there is none."""
        given = self.chosen.guarantee if self.chosen else None
        return replace(given, covers="samples") if given and self.end_to_end else given

    @property
    def ranking(self) -> list[Ranked]:
        """The samplers from which the fitted one was chosen, best first; empty if there was no choice."""
        return list(self.chosen.ranking) if self.chosen else []

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return the sampler, the classes with a density, and those without."""
        entries = {"densities": counted(self.fitted_on) if self.fitted_on else "none yet; call fit"}
        if self.chosen and self.chosen.name != self.sampler.name:
            entries["chosen"] = repr(self.chosen)
        if self.failures:
            entries["without a density"] = ", ".join(self.failures)
        if self.refiners:
            entries["refined"] = ", ".join(self.refiners)
        return f"Synthesizer with the sampler {self.sampler.name}", entries

    def class_of(self, label: Any) -> str:
        """Return the class with a density that a label names: a string, or the integer that it was in the data.

        Raises:
            SamplerError: if the class is unknown or has no density, or nothing has been fitted.
        """
        name = name_of(label)
        if name in self.failures:
            raise SamplerError(f"class {name!r}: {self.failures[name]}")
        if not self.densities:
            raise SamplerError("no density has been fitted; call fit first")
        if name not in self.densities:
            raise SamplerError(f"there is no class {name!r}; {did_you_mean(name, self.densities)}")
        return name

    def density(self, label: str | int) -> Distribution:
        """Return the density of one class, a distribution of latents (latent_dim,).

        Raises:
            SamplerError: as :meth:`class_of` does, or if the fitted values are not finite.
        """
        name = self.class_of(label)
        try:
            density: Distribution = self.densities[name]()
        except SamplerError as error:
            raise SamplerError(f"the density of class {name!r} cannot be used: {error}; fit it anew") from error
        return density

    @checked
    def latents(
        self, label: str | int, count: int, seed: int | None = None, temperature: float = 1.0, min_quantile: float = 0.0
    ) -> Tensor:
        """Draw new latents of one class, (count, latent_dim).

        Args:
            label: the class, or the integer that it was in the data.
            count: number of latents.
            seed: seed of the draws. Default: torch's current random state.
            temperature: factor on the distance from the density's mean; below 1, samples vary less.
            min_quantile: share of the density's least likely draws to reject.

        Raises:
            SamplerError: if the class is unknown or has no density, nothing has been fitted, or a draw is not finite.
            ConfigurationError: if a setting is out of range.
        """
        density = self.density(label)
        with seeded(seed):
            latents = draw(density, count, temperature, min_quantile)
        return require_finite(latents, f"the density of class {self.class_of(label)!r}", SamplerError)

    @checked
    def sample(
        self,
        label: str | int,
        count: int,
        seed: int | None = None,
        temperature: float = 1.0,
        min_quantile: float = 0.0,
        noise: Noise | None = None,
        covariates: Mapping[str, Any] | None = None,
        refine: bool = True,
    ) -> GeneratedSamples:
        """Draw new samples of one class, (count, *shape) by modality; a row is one sample in all modalities.

        The result is a dictionary, whose ``plot()`` draws the samples; ``as_dataset()`` gives them to a ``DataLoader``.

        Args:
            label: as for :meth:`latents`, like all arguments up to ``min_quantile``.
            count: number of samples.
            seed: seed of latents and noise.
            temperature: of the latents; it does not change the noise.
            min_quantile: of the latents.
            noise: ``"draw"``, samples with the observation noise of their likelihood; or ``"mean"``, expected samples,
                which vary less than real ones. Default: as each modality says; expected samples without a likelihood.
            covariates: as for :meth:`draw_covariates`.
            refine: whether to refine the modalities that have a refiner. Refined samples come from the expected ones,
                whatever ``noise`` says. All other modalities are the same either way.
        """
        latents = self.latents(label, count, seed, temperature, min_quantile)
        given = self.draw_covariates(label, count, seed, covariates)
        samples = self.decode(latents, label, noise, seed, covariates=given, refine=refine)
        return GeneratedSamples(samples, self.vae.modalities, self.class_of(label), self.vae.classes)

    def plot(self, count: int = 2, seed: int | None = 0) -> "SampleFigure":
        """Draw new samples of each class, with the modalities of a sample side by side; notebooks show the figure.

        Args:
            count: number of samples per class.
            seed: seed of the samples. Default: 0.

        Raises:
            SamplerError: if nothing has been fitted.
        """
        from multimodal_vae.plots import plot_rows

        drawn = [self.sample(label, count, seed) for label in self.densities or [""]]
        rows = [samples.row(number) for samples in drawn for number in range(count)]
        return plot_rows(self.vae.modalities, rows, [each.label for each in drawn for _ in range(count)])

    def decode(
        self,
        latents: Tensor,
        label: str | int,
        noise: Noise | None = None,
        seed: int | None = None,
        first: int = 0,
        covariates: Any = None,
        refine: bool = True,
    ) -> dict[str, Tensor]:
        """Decode latents (N, latent_dim) of one class into samples, (N, *shape) by modality, refined where asked for.

        Args:
            latents: the latents.
            label: their class, or the integer that it was in the data.
            noise: as for :meth:`~multimodal_vae.model.MultimodalVAE.generate`, like ``first`` and ``covariates``.
            seed: seed of the noise, also of refiners. Default: torch's current random state.
            first: number of the first latent.
            covariates: covariates of the samples.
            refine: as for :meth:`sample`.
        """
        refiners = self.refiners if refine else {}
        others = [name for name in self.vae.modalities if name not in refiners]
        samples = self.vae.generate(latents, names=others, noise=noise, seed=seed, first=first, covariates=covariates)
        if not refiners:
            return samples
        seed = int(torch.randint(2**63 - 1, ())) if seed is None else seed
        labels = torch.full((len(latents),), self.vae.classes.index(self.class_of(label)))
        given = values_of_covariates(self.vae.covariates, covariates, len(latents))
        samples |= refined(self.vae, refiners, latents, labels, seed, first, given)
        return {name: samples[name] for name in self.vae.modalities}

    @checked
    def draw_covariates(
        self, label: str | int, count: int, seed: int | None = None, covariates: Mapping[str, Any] | None = None
    ) -> Tensor:
        """Draw the covariates of new samples of one class, (count, C), as the fitted samples have them.

        Args:
            label: the class, or the integer that it was in the data.
            count: number of samples.
            seed: seed of the draws. Default: torch's current random state.
            covariates: values to fix, by name, such as ``{"site": "B"}``. The others are drawn among samples of the
                class with these words; if there are none, as where this site has no such patient, among all of it.

        Raises:
            DataError: if a covariate or its value is unknown.
            SamplerError: as :meth:`class_of` does, or if the densities were fitted without covariates.
        """
        name = self.class_of(label)
        if not self.vae.covariates:
            check_given([], covariates or {})
            return torch.zeros(count, 0)
        if self.covariate_counts is None:
            raise SamplerError("the densities were fitted without covariates; fit them anew")
        seed = int(torch.randint(2**63 - 1, ())) if seed is None else seed
        return self.covariate_counts.draw(self.vae.covariates, name, count, seed, covariates)

    @checked
    def classify(self, latents: Tensor | Gaussian | Encodable, prior: str = "frequency") -> Tensor:
        r"""Return the probability of each class given latents, by Bayes' rule on the densities of the classes.

        .. math:: P(k \mid z) = \frac{\pi_k\, p_k(z)}{\sum_j \pi_j\, p_j(z)}

        A kernel density overfits its own latents: on the samples it was fitted to, the probabilities are too certain.

        Args:
            latents: (N, latent_dim), such as posterior means; or posteriors, or samples as for
                :meth:`~multimodal_vae.model.MultimodalVAE.encode`, which are classified by their posterior means.
            prior: :math:`\pi`; ``"frequency"``, each class's share of the fitted samples, or ``"uniform"``. Choose the
                one nearer to the frequencies where the samples come from.

        Returns:
            (N, K) of float64 in the order of the model's classes; each row sums to 1.

        Raises:
            ConfigurationError: if the prior is unknown.
            DataError: if the latents have another shape, or are not finite.
            SamplerError: if nothing has been fitted, a class has no density or one that is not a number, or all
                densities of a latent are zero.

        Source: Hastie, Tibshirani and Friedman (2009), *The Elements of Statistical Learning*, equation 6.25.
        """
        if prior not in PRIORS:
            raise ConfigurationError(f"there is no prior {prior!r}; {did_you_mean(prior, PRIORS)}")
        if isinstance(latents, Mapping | MultimodalDataset):
            latents = self.vae.encode(latents)
        if isinstance(latents, Gaussian):
            latents = latents.mean
        points = check_latents(latents, self.vae.latent_dim).cpu()
        densities = [self._log_density(name, points) for name in self.vae.classes]
        weights = [self.fitted_on[name] if prior == "frequency" else 1 for name in self.vae.classes]
        joint = torch.stack(densities, 1) + torch.tensor(weights, dtype=torch.float64).log()
        outliers = joint.amax(1).isneginf().nonzero().flatten().tolist()
        if outliers:
            raise SamplerError(f"latent {outliers[0]} has density zero in every class, so it cannot be classified")
        return joint.softmax(1)

    def _log_density(self, name: str, latents: Tensor) -> Tensor:
        """Return the log density of latents in a class, (N,), which is minus infinity where the density is zero."""
        density = self.density(name).log_prob(latents).double().cpu()
        if bool((density.isnan() | density.isposinf()).any()):
            raise SamplerError(f"the density of class {name!r} is not a number at some latents; fit it anew")
        return density

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of all densities, by number of the class and name."""
        return {
            f"{index}.{name}": tensor
            for index, density in enumerate(self.densities.values())
            for name, tensor in density.state().items()
        }

    @checked
    def save(self, path: Path) -> None:
        """Write the densities, without model and refiners, to a safetensors file."""
        metadata = {
            "sampler": self.sampler.configuration,
            "chosen": self.chosen.configuration if self.chosen else None,
            "ranking": self.ranking,
            "parts": records([self.sampler, self.chosen]),
            "fitted_on": self.fitted_on,
            "failures": self.failures,
            **({"augmented": self.augmented} if self.augmented else {}),
            **({"covariates": self.covariate_counts.model_dump()} if self.covariate_counts else {}),
        }
        write_tensors(path, self.state(), {"synthesizer": json.dumps(metadata)})

    @classmethod
    @checked
    def load(cls, path: Path, vae: MultimodalVAE, refiners: Mapping[str, Refiner] | None = None) -> Self:
        """Read the densities of a model, to be used with some refiners.

        Raises:
            RunError: if the file is damaged, or belongs to a model with other classes or latents.
        """
        tensors, facts = _read(path)
        sampler, fitted_on, failures = facts["sampler"], facts["fitted_on"], facts.get("failures", {})
        if list(fitted_on) != [name for name in vae.classes if name not in failures]:
            raise RunError(f"{path} has densities of the classes {list(fitted_on)}, but the model has {vae.classes}")
        require(facts["parts"], f"the density in {path}")
        try:
            synthesizer = cls(vae, sampler, facts.get("augmented", 0), refiners)
            chosen = synthesizer.chosen = DensitySampler.of(facts.get("chosen") or sampler)
        except (ConfigurationError, PluginError) as error:
            raise type(error)(f"{path}: {error}") from error
        chosen.ranking = facts.get("ranking", [])
        synthesizer.fitted_on, synthesizer.failures = fitted_on, failures
        counts = synthesizer.covariate_counts = facts.get("covariates")
        if counts:
            try:
                counts.require_fit(vae.covariates, list(fitted_on))
            except RunError as error:
                raise RunError(f"{path}: {error}") from error
        for index, name in enumerate(fitted_on):
            prefix = f"{index}."
            state = {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}
            try:
                synthesizer.densities[name] = DensitySampler.of(chosen).restore(state)
                synthesizer._try_density(name)
            except (SamplerError, *_MISFITS) as error:
                said = error if isinstance(error, SamplerError) else one_line(error)
                raise RunError(
                    f"{path}: the density of class {name!r} cannot be used: {said}; delete the file to fit anew"
                ) from error
        return synthesizer

    def _try_density(self, name: str) -> None:
        """Use a class's density once, since the tensors of a file may have any shape."""
        self.densities[name].state()
        density, latent = self.density(name), torch.Size([self.vae.latent_dim])
        shapes = [density.event_shape]
        with suppress(NotImplementedError):  # not every density defines its mean
            shapes.append(density.mean.shape)
        with suppress(NotImplementedError):
            self._log_density(name, self.latents(name, 2, seed=0))
        if shapes != [latent] * len(shapes):
            raise SamplerError(f"it is one of vectors of the shape {tuple(shapes[-1])}, the latent has {tuple(latent)}")


class _Facts(TypedDict):
    sampler: dict[str, Any]
    chosen: NotRequired[dict[str, Any] | None]
    ranking: NotRequired[list[Ranked]]
    parts: list[Any]
    fitted_on: dict[str, Annotated[int, pydantic.Field(ge=0, lt=2**53)]]
    failures: NotRequired[dict[str, str]]
    augmented: NotRequired[Annotated[int, pydantic.Field(ge=0)]]
    covariates: NotRequired[CovariateCounts]


_FACTS = pydantic.TypeAdapter(_Facts)
_MISFITS = (RuntimeError, LookupError, AttributeError, ValueError, TypeError, ArithmeticError)
"""What a density raises whose tensors do not fit together."""


def sampler_in(path: Path) -> str:
    """Return the name of the sampler whose densities a file holds.

    Raises:
        RunError: if it does not hold densities.
    """
    return str(_read(path)[1]["sampler"].get("name"))


def _read(path: Path) -> tuple[dict[str, Tensor], _Facts]:
    tensors, metadata = read_tensors(path)
    try:
        return tensors, _FACTS.validate_json(metadata.get("synthesizer", ""))
    except pydantic.ValidationError as error:
        raise RunError(f"{path} does not contain densities of a synthesizer: {explain(error)}") from error
