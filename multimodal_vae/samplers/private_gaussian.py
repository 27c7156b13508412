"""One Gaussian per class, or another density of other people that is moved, with differential privacy."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.mechanism import private_sums, smallest_deviation
from multimodal_vae.samplers.base import DensitySampler, Fitted, require_matrix
from multimodal_vae.samplers.coordinates import Array, Coordinates
from multimodal_vae.samplers.moments import Statistics
from multimodal_vae.scopes import Seed


class PrivateGaussian(DensitySampler):
    r"""One Gaussian per class, :math:`(\varepsilon, \delta)`-differentially private for each patient.

    Number of patients, means and second moments of all classes together are released by one Gaussian mechanism; all
    that follows uses nothing but these noisy sums, and so costs no privacy (post-processing).

    **What is released.** Each latent becomes a vector of statistics of norm at most 1
    (:class:`~multimodal_vae.samplers.moments.Statistics`): clipped coordinates and their products. A patient's vectors,
    of whichever classes, are averaged, and the sums over patients get normal noise of the smallest deviation that
    suffices (:func:`~multimodal_vae.mechanism.smallest_deviation`).

    **Sensitivity.** Patient *p* with the latents :math:`x_1 \dots x_n` of classes :math:`k_1 \dots k_n` adds
    :math:`c_p = \frac{1}{n} \sum_i e_{k_i} \otimes \phi(x_i)` to the sums of all classes, where :math:`e_k` is the unit
    vector of class *k*. As :math:`|e_{k_i} \otimes \phi(x_i)| = |\phi(x_i)| \le 1`, the triangle inequality gives
    :math:`|c_p| \le \frac{1}{n} \sum_i 1 = 1`. :math:`c_p` depends on no other patient. So adding or removing a
    patient, with any number of samples, moves all sums together by a vector of norm at most 1.

    **Reference.** With latents of other people (``reference`` of
    :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.fit`), centers, directions, scales and covariances are
    theirs, and the sums estimate the difference: means in all directions, second moments in the leading ones, one scale
    for all other ones. Without, the prior (the origin and the unit sphere) takes their place, and leading are the first
    dimensions of the latent. Differences that the noise explains become zero, so with few patients or a small epsilon
    the density is the reference's. So is that of a class without patients; nothing tells that it has none. With
    ``base``, the reference's latents are moved by the affine map that gives them the estimated mean and covariance, and
    that sampler is fitted to them: the density keeps their shape, which no budget could pay for.

    **What it does not cover**: the networks, if they learned from the same patients; the names of the classes; settings
    chosen by results on these patients; and a second fit, whose epsilon and delta add up with those of the first.

    Args:
        epsilon: privacy budget; smaller is more private. 1 is strong, 3 usual, above 8 weak.
        delta: probability with which the bound may fail; choose it well below one over the number of patients.
        clip: share of standard normal vectors that the clipping leaves as they are. The radii follow from this and from
            the number of dimensions, never from the data. Less is less noise and more bias.
        dimensions: number of leading directions whose second moments are estimated. Their number grows with its square,
            and the noise with it: 4 to 8 for a hundred patients per class, 16 for a thousand.
        base: sampler to fit to the moved latents of the reference, such as ``"kde"``, which gives away nothing but the
            reference. Default: one Gaussian.
        seed: for tests only. Noise that can be repeated voids the guarantee, so ``guarantee`` is None. Default: noise
            from the operating system's cryptographic generator.

    Raises:
        ConfigurationError: if ``base`` is itself a private sampler.

    Source: Balle and Wang (2018), *Improving the Gaussian Mechanism for Differential Privacy*; Dwork and Roth (2014),
        *The Algorithmic Foundations of Differential Privacy*, proposition 2.1 (post-processing).

    Example:
        >>> sampler = PrivateGaussian(epsilon=3.0)
        >>> sampler.fit(torch.randn(200, 2))().sample((5,)).shape
        torch.Size([5, 2])
        >>> sampler.guarantee.epsilon
        3.0
    """

    mean: Tensor
    factor: Tensor
    patients: Tensor

    def __init__(
        self,
        epsilon: Annotated[float, Field(gt=0, le=100)],
        delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5,
        clip: Annotated[float, Field(gt=0, lt=1)] = 0.9,
        dimensions: Annotated[int, Field(ge=1)] = 8,
        base: DensitySampler | None = None,
        seed: Seed | None = None,
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.delta = delta
        self.clip = clip
        self.dimensions = dimensions
        if base is not None and base.guarantee:
            raise ConfigurationError(f"{base.name!r} is private, and {self.name!r} needs a base that is fitted exactly")
        self.base = base
        self.moved: DensitySampler | None = None
        self.seed = seed
        for name in ("mean", "factor", "patients"):
            self.register_buffer(name, None)

    @property
    def guarantee(self) -> Guarantee | None:
        """The differential privacy of the densities; None with a seed."""
        return Guarantee(self.epsilon, self.delta, "density") if self.seed is None else None

    @property
    def fitted_on(self) -> int | None:
        """Noisy number of patients, at least 1; a patient of several classes counts in each by share of samples."""
        return int(self.patients) if "patients" in self.state_dict() else None

    def fit(self, latents: Tensor) -> Self:
        """Fit to the latents (N, D) of one class, each of a patient of its own; any number of them."""
        density = self.fit_classes([latents]).densities[0]
        return self.restore(density.state()) if density else self

    def fit_classes(
        self,
        classes: Sequence[Tensor],
        groups: Sequence[Sequence[str]] | None = None,
        reference: Sequence[Tensor] | None = None,
    ) -> Fitted:
        """Return the densities of all classes, by one mechanism; a class fails only if ``base`` refuses its reference.

        Raises:
            SamplerError: if the latents are no matrices, the reference has too few, or ``base`` has none.
        """
        if self.base is not None and reference is None:
            raise SamplerError(f"{self.name!r} fits its base to a reference, and there is none; give one, or no base")
        for latents in [*classes, *(reference or [])]:
            require_matrix(latents, self.name)
        statistics = self._statistics(classes, reference)
        densities: list[DensitySampler | None] = []
        failures = dict[int, str]()
        for moments in statistics.estimates(self._release(statistics, classes, groups)[0], self._deviation):
            density = self.clone()
            density.patients = torch.tensor(max(1, round(moments.patients)))
            density.mean = torch.from_numpy(moments.mean).to(classes[0])
            density.factor = torch.from_numpy(np.linalg.cholesky(moments.covariance)).to(classes[0])
            if self.base is not None:
                assert moments.moved is not None  # noqa: S101  (there is a reference)
                try:
                    density.moved = DensitySampler.of(self.base).fit(torch.from_numpy(moments.moved).to(classes[0]))
                except SamplerError as error:
                    failures[len(densities)] = str(error)
            densities.append(None if len(densities) in failures else density)
        return Fitted(self.clone(), densities, failures)

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Load the result of :meth:`state` and return self."""
        moved = {name.removeprefix(_MOVED): x for name, x in state.items() if name.startswith(_MOVED)}
        super().restore({name: x for name, x in state.items() if not name.startswith(_MOVED)})
        if self.base is not None:
            self.moved = DensitySampler.of(self.base).restore(moved)
        return self

    @property
    def _deviation(self) -> float:
        return smallest_deviation(self.epsilon, self.delta)

    def _statistics(self, classes: Sequence[Tensor], reference: Sequence[Tensor] | None) -> Statistics:
        if reference is None:
            coordinates = Coordinates.of_prior(classes[0].shape[1], len(classes))
        else:
            coordinates = Coordinates.of_reference([_array(each) for each in reference])
        return Statistics(coordinates, self.dimensions, self.clip)

    def _release(
        self,
        statistics: Statistics,
        classes: Sequence[Tensor],
        groups: Sequence[Sequence[str]] | None,
        draws: int = 1,
    ) -> Array:
        """Return the noisy sums of the statistics, (draws, K, P): all that is ever used of the latents."""
        groups = groups or [[f"{index}.{row}" for row in range(len(each))] for index, each in enumerate(classes)]
        vectors = np.concatenate([statistics.of(index, _array(each)) for index, each in enumerate(classes)])
        labels = np.repeat(np.arange(len(classes)), [len(each) for each in classes])
        owners = [patient for each in groups for patient in each]
        return private_sums(vectors, labels, owners, len(classes), self._deviation, self.seed, draws)

    def forward(self) -> Distribution:
        """Return the fitted Gaussian, as a mixture of one component, or the density of ``base``."""
        self.state()
        if self.moved is not None:
            density: Distribution = self.moved()
            return density
        return GaussianMixture(self.mean.new_ones(1), self.mean[None], self.factor[None])


_MOVED = "moved."


def _array(latents: Tensor) -> Array:
    return np.asarray(latents.detach().cpu().double().numpy(), np.float64)
