"""A small normalizing flow."""

import importlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.samplers.base import DensitySampler, require_spread
from multimodal_vae.scopes import seeded


class Flow(DensitySampler):
    """A normalizing flow fitted by maximum likelihood; needs the extra ``flow``, which is zuko.

    The latents are standardized by dimension. A share of them is held out, and the weights with the highest likelihood
    of those are kept. Meant for classes of some hundred samples; fewer than 10 are refused.

    Args:
        transform: ``"spline"``, monotonic rational-quadratic splines (Durkan et al. 2019, *Neural spline flows*); or
            ``"affine"`` (Papamakarios et al. 2017, *Masked autoregressive flow for density estimation*).
        transforms: how many, one after another.
        passes: in how many steps a transform is drawn from, each of some dimensions given those before: 2 couples two
            halves (Dinh et al. 2017, *Density estimation using Real NVP*), as many as there are dimensions is
            autoregressive. Drawing takes so many times as long, and densities are no slower.
        hidden: units of the hidden layers of each.
        bins: of a spline.
        learning_rate: of Adam.
        batch: latents a step.
        epochs: at most.
        patience: epochs without a higher held-out likelihood after which the fit ends.
        held_out: share of the latents.
        seed: of the weights, of what is held out, and of the order of the latents.

    Raises:
        ConfigurationError: on fitting or reading back, if zuko is not installed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        transform: Literal["spline", "affine"] = "spline",
        transforms: PositiveInt = 3,
        passes: PositiveInt = 2,
        hidden: Annotated[list[PositiveInt], Field(min_length=1)] = [32, 32],  # noqa: B006  (copied for each part)
        bins: Annotated[int, Field(ge=2)] = 8,
        learning_rate: PositiveFloat = 3e-3,
        batch: PositiveInt = 256,
        epochs: PositiveInt = 500,
        patience: PositiveInt = 30,
        held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.transform = transform
        self.transforms = transforms
        self.passes = passes
        self.hidden = hidden
        self.bins = bins
        self.learning_rate = learning_rate
        self.batch = batch
        self.epochs = epochs
        self.patience = patience
        self.held_out = held_out
        self.seed = seed
        self.network: Any = None
        self.register_buffer("mean", None)
        self.register_buffer("deviation", None)

    def fit(self, latents: Tensor) -> Self:
        """Train the flow."""
        require_spread(latents, self.name)
        latents = latents.detach()
        if len(latents) < _FEWEST:
            raise SamplerError(
                f"{self.name!r} needs at least {_FEWEST} latents, and there are {len(latents)}; add samples, or take "
                "'kde' or 'gaussian'"
            )
        deviation = latents.std(0, correction=0)
        if not bool((deviation > 0).all()):
            dimension = int((deviation > 0).logical_not().nonzero()[0])
            raise SamplerError(
                f"{self.name!r} finds no spread along dimension {dimension} of {len(latents)} latents; take 'gmm', "
                "which adds some"
            )
        self.mean, self.deviation = latents.mean(0), deviation
        with seeded(self.seed), torch.enable_grad():
            self.network = self._network(latents)
            self._train((latents - self.mean) / deviation)
        return self

    def _network(self, like: Tensor) -> Any:
        """A new flow for latents of a length, type and device."""
        try:
            flows = importlib.import_module("zuko.flows")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the sampler {self.name!r} needs zuko: pip install 'multimodal-vae[flow]'"
            ) from error
        dimensions = like.shape[-1]
        shape = {"transforms": self.transforms, "hidden_features": self.hidden, "passes": min(self.passes, dimensions)}
        flow = flows.MAF(dimensions, **shape) if self.transform == "affine" else None
        return (flow or flows.NSF(dimensions, bins=self.bins, **shape)).to(like)

    def _train(self, latents: Tensor) -> None:
        """Maximize the likelihood of standardized latents until that of a held-out part falls."""
        order = torch.randperm(len(latents)).to(latents.device)
        held = min(math.ceil(self.held_out * len(latents)), len(latents) - 1)
        judges, learned = latents[order[:held]], latents[order[held:]]
        optimizer = torch.optim.Adam(self.network.parameters(), self.learning_rate)

        def held_out_loss() -> float:
            with torch.no_grad():
                return float(-self.network().log_prob(judges).mean())

        best, since, kept = held_out_loss(), 0, _copy(self.network)
        for _ in range(self.epochs):
            for rows in torch.split(torch.randperm(len(learned)).to(latents.device), self.batch):
                optimizer.zero_grad()
                loss = -self.network().log_prob(learned[rows]).mean()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                optimizer.step()
            now = held_out_loss()
            if now < best:
                best, since, kept = now, 0, _copy(self.network)
            else:
                since += 1  # also where it is no number
            if since >= self.patience:
                break
        self.network.load_state_dict(kept)
        self.network.requires_grad_(False)
        self.network.zero_grad()

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Take back what :meth:`state` gave, and return itself."""
        if "mean" in state:
            with seeded(0):
                self.network = self._network(state["mean"])
        super().restore(state)
        if self.network is not None:
            lacking = {*self._buffers, *self.state_dict()} - state.keys()
            if lacking:
                raise SamplerError(f"the state of the sampler {self.name!r} lacks {min(lacking)!r}")
            self.network.requires_grad_(False)
        return self

    def forward(self) -> Distribution:
        """The density."""
        self.state()
        return _Standardized(self.network(), self.mean, self.deviation)


_FEWEST = 10
"""Latents: a held-out part of fewer than two says nothing of when to stop."""


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


class _Standardized(Distribution):
    """A density of standardized vectors, over the vectors as they were."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  (the name and form are torch's)
    support = constraints.real_vector
    has_rsample = False
    _chunk = 2**13  # elements of vectors that go through the flow at once; it holds hundreds of numbers for each

    def __init__(self, density: Distribution, mean: Tensor, deviation: Tensor) -> None:
        self.density = density
        self._center = mean
        self._deviation = deviation
        super().__init__(event_shape=mean.shape, validate_args=False)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Draw vectors, (*sample_shape, D), with torch's default generator."""
        count = math.prod(sample_shape)
        drawn = self._center.new_empty(count, len(self._center))
        with torch.no_grad():
            for part in torch.split(drawn, self._rows()):
                part.copy_(self._center + self._deviation * self.density.sample((len(part),)))
        return drawn.reshape(*sample_shape, len(self._center))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, (*sample_shape,)."""
        points = ((value - self._center) / self._deviation).reshape(-1, len(self._center))
        rows = [self.density.log_prob(part) for part in torch.split(points, self._rows())]
        log_density: Tensor = torch.cat(rows) - self._deviation.log().sum()
        return log_density.reshape(value.shape[:-1])

    def _rows(self) -> int:
        return max(1, self._chunk // len(self._center))
