"""Base class of all density samplers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from typing_extensions import TypedDict

from multimodal_vae.errors import SamplerError
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.part import Part


class Ranked(TypedDict):
    """One of the samplers from which one was chosen.

    Attributes:
        sampler: its configuration.
        log_density: mean log density of held-out latents, in nats; higher is better.
        two_sample: AUC of a classifier that tells draws from held-out latents; .5 is chance.
        standard_error: standard error of ``two_sample``.
        membership: AUC of an attack that tells fitted from held-out latents by the draws; .5 is chance.
        memorizes: whether ``membership`` is too high.
        failure: reason why it cannot be chosen.

    Without patients to hold out, only ``sampler`` is there.
    """

    sampler: dict[str, Any]
    log_density: NotRequired[float]
    two_sample: NotRequired[float]
    standard_error: NotRequired[float]
    membership: NotRequired[float]
    memorizes: NotRequired[bool]
    failure: NotRequired[str]


class Fitted(NamedTuple):
    """The densities of all classes.

    Attributes:
        sampler: prepared sampler, not fitted; the state of each density can be restored into a copy.
        densities: fitted sampler of each class; None if it cannot be fitted.
        failures: reason by index of a class that cannot be fitted.
    """

    sampler: "DensitySampler"
    densities: list["DensitySampler | None"]
    failures: dict[int, str]


NEAR_COPIES = (
    "the density consists of the patients' embeddings, and samples are near copies of them: on the simulated otitis "
    "cohort, an attacker recognized 64 % of the training patients at one false positive in a hundred; to share samples "
    "of real patients, take the sampler 'auto' or 'gmm'"
)
"""What kernel densities and interpolation disclose."""


class DensitySampler(Part, nn.Module, ABC):
    """Fit the density of the latents of one class; calling the sampler returns a ``torch.distributions`` object.

    Keep fitted values in buffers, declared in the constructor as ``self.register_buffer("means", None)``. They are
    saved with the model, and :meth:`restore` loads them with any shape.
    """

    kind = "sampler"

    discloses: str = ""
    """What the density gives away about the patients it is fitted on, in one sentence. It is said at fitting; empty if
    the density is no list of their latents."""

    ranking: Sequence["Ranked"] = ()
    """The samplers from which :meth:`prepare` chose this one, best first; empty if there was no choice."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def guarantee(self) -> Guarantee | None:
        """The differential privacy of the density. Default: None, no guarantee."""
        return None

    @property
    def fitted_on(self) -> int | None:
        """Number of latents as the density tells it; a private one adds noise. Default: None, as many as were given."""
        return None

    @abstractmethod
    def fit(self, latents: Tensor) -> Self:
        """Fit to the latents (N, D) of one class and return self.

        Raises:
            SamplerError: if there are too few latents, or all are equal.
        """

    def prepare(self, classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None = None) -> "DensitySampler":
        """Return the sampler to copy and fit per class. Default: self.

        Override this for settings that depend on all classes. Return a sampler with other settings, or of another
        class, and store nothing fitted, so that each class's density follows from the settings and that class's
        latents.

        Args:
            classes: latents of each class, (N, D), including classes that :meth:`fit` will refuse.
            groups: patients of each class's latents. Default: each latent is of a patient of its own.
        """
        return self

    def fit_classes(
        self,
        classes: Sequence[Tensor],
        groups: Sequence[Sequence[str]] | None = None,
        reference: Sequence[Tensor] | None = None,
    ) -> Fitted:
        """Return one density per class. Default: :meth:`prepare` the sampler, and fit a copy to each class.

        Override this if the densities must be fitted together, such as by one mechanism of differential privacy.

        Args:
            classes: latents of each class, (N, D).
            groups: patients of each class's latents. Default: each latent is of a patient of its own.
            reference: latents of each class of *other* people, which are no secret. By default, they are not used.
        """
        sampler = self.prepare(classes, groups)
        densities: list[DensitySampler | None] = []
        failures = {}
        for index, latents in enumerate(classes):
            try:
                densities.append(DensitySampler.of(sampler).fit(latents))
            except SamplerError as error:
                densities.append(None)
                failures[index] = str(error)
        return Fitted(sampler, densities, failures)

    @abstractmethod
    def forward(self) -> Distribution:
        """Return the fitted density over vectors (D,)."""

    def state(self) -> dict[str, Tensor]:
        """Return the fitted buffers and parameters by name.

        Raises:
            SamplerError: if the sampler is not fitted, or a value is not finite.
        """
        state = dict(self.state_dict())
        if not state:
            raise SamplerError(f"the sampler {self.name!r} has not been fitted")
        for name, value in state.items():
            if not bool(torch.isfinite(value).all()):
                raise SamplerError(f"{name!r} of the sampler {self.name!r} is not finite")
        return state

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Load the result of :meth:`state` and return self."""
        for name, read in state.items():
            value = read.clone()  # in memory aligned as after fitting: otherwise, draws may differ in the last bit
            owner, _, leaf = name.rpartition(".")
            module = dict(self.named_modules()).get(owner, nn.Module())
            if leaf in module._buffers:
                module._buffers[leaf] = value
            elif isinstance(module._parameters.get(leaf), nn.Parameter):
                module._parameters[leaf] = nn.Parameter(value)
            else:
                raise SamplerError(f"the sampler {self.name!r} has no state {name!r}")
        return self


def require_matrix(latents: Any, name: str) -> None:
    """Raise SamplerError unless latents are real numbers of shape (N, D)."""
    if not isinstance(latents, Tensor) or not latents.is_floating_point():
        kind = latents.dtype if isinstance(latents, Tensor) else type(latents).__name__
        raise SamplerError(f"{name!r} takes a tensor of real numbers, not {kind}")
    if latents.dim() != 2 or not latents.shape[1]:
        raise SamplerError(f"{name!r} takes latents of shape (N, D), not {tuple(latents.shape)}")


def require_spread(latents: Tensor, name: str) -> None:
    """Raise SamplerError if latents are fewer than two, not finite, or all equal."""
    require_matrix(latents, name)
    if len(latents) < 2:
        raise SamplerError(
            f"{name!r} needs at least 2 latents, not {len(latents)}; add samples, or leave the class out"
        )
    if not torch.isfinite(latents).all():
        raise SamplerError(f"{name!r} got latents that are not finite")
    if bool((latents == latents[0]).all()):
        raise SamplerError(f"{name!r} got {len(latents)} latents that are all equal")
