"""A normalizing flow per class."""

import importlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.samplers.base import DensitySampler, require_spread
from multimodal_vae.scopes import Seed, seeded


class Flow(DensitySampler):
    """A normalizing flow fitted by maximum likelihood; needs the extra ``flow`` (zuko).

    Latents are standardized per dimension. Part of them is held out, and the weights with the highest held-out
    likelihood are kept. Use it for classes of some hundred samples; fewer than 10 are refused.

    Args:
        transform: ``"spline"``, monotonic rational-quadratic splines (Durkan et al. 2019, *Neural spline flows*); or
            ``"affine"`` (Papamakarios et al. 2017, *Masked autoregressive flow for density estimation*).
        transforms: number of transforms in sequence.
        passes: number of steps to draw from a transform, each of some dimensions given the previous ones. 2 couples two
            halves (Dinh et al. 2017, *Density estimation using Real NVP*); the number of dimensions is autoregressive.
            The time of a draw grows with it, that of a density does not.
        hidden: units of the hidden layers of each transform.
        bins: number of bins of a spline.
        learning_rate: learning rate of Adam.
        batch: latents per step.
        epochs: maximum number of epochs.
        patience: epochs without a higher held-out likelihood after which fitting ends.
        held_out: share of the latents to hold out.
        seed: seed of the weights, the held-out part and the order of the latents.

    Raises:
        ConfigurationError: on fitting or loading, if zuko is not installed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        transform: Literal["spline", "affine"] = "spline",
        transforms: Annotated[int, Field(ge=1, le=100)] = 3,
        passes: PositiveInt = 2,
        hidden: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=1)] = [32, 32],  # noqa: B006  (copied for each part)
        bins: Annotated[int, Field(ge=2, le=1000)] = 8,
        learning_rate: PositiveFloat = 3e-3,
        batch: PositiveInt = 256,
        epochs: PositiveInt = 500,
        patience: PositiveInt = 30,
        held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        seed: Seed = 0,
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
        """Train the flow on latents (N, D)."""
        require_spread(latents, self.name)
        latents = latents.detach()
        if len(latents) < _FEWEST:
            raise SamplerError(
                f"{self.name!r} needs at least {_FEWEST} latents, not {len(latents)}; add samples, or use 'kde' or "
                "'gaussian'"
            )
        deviation = latents.std(0, correction=0)
        if not bool((deviation > 0).all()):
            dimension = int((deviation > 0).logical_not().nonzero()[0])
            raise SamplerError(
                f"{self.name!r} finds no spread along dimension {dimension} of {len(latents)} latents; use 'gmm', "
                "which adds variance"
            )
        self.mean, self.deviation = latents.mean(0), deviation
        with seeded(self.seed), torch.enable_grad():
            self.network = self._network(latents)
            self._train((latents - self.mean) / deviation)
        return self

    def _network(self, like: Tensor) -> Any:
        """Return a new flow with the dimensions, dtype and device of ``like``."""
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
        """Maximize the likelihood of standardized latents with early stopping on a held-out part."""
        order = torch.randperm(len(latents)).to(latents.device)
        held = min(math.ceil(self.held_out * len(latents)), len(latents) - 1)
        held_out, train = latents[order[:held]], latents[order[held:]]
        optimizer = torch.optim.Adam(self.network.parameters(), self.learning_rate)

        def held_out_loss() -> float:
            with torch.no_grad():
                return float(-self.network().log_prob(held_out).mean())

        best, stale, weights = held_out_loss(), 0, _copy(self.network)
        for _ in range(self.epochs):
            for rows in torch.split(torch.randperm(len(train)).to(latents.device), self.batch):
                optimizer.zero_grad()
                loss = -self.network().log_prob(train[rows]).mean()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                optimizer.step()
            now = held_out_loss()
            if now < best:
                best, stale, weights = now, 0, _copy(self.network)
            else:
                stale += 1  # also if the loss is NaN
            if stale >= self.patience:
                break
        self.network.load_state_dict(weights)
        self.network.requires_grad_(False)
        self.network.zero_grad()

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Load the result of :meth:`state` and return self."""
        if "mean" in state:
            with seeded(0):
                self.network = self._network(state["mean"])
        super().restore(state)
        if self.network is not None:
            missing = {*self._buffers, *self.state_dict()} - state.keys()
            if missing:
                raise SamplerError(f"the state of the sampler {self.name!r} lacks {min(missing)!r}")
            self.network.requires_grad_(False)
        return self

    def forward(self) -> Distribution:
        """Return the fitted density."""
        self.state()
        return _Standardized(self.network(), self.mean, self.deviation)


_FEWEST = 10
"""Minimum number of latents, so that at least two are held out for early stopping."""


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


class _Standardized(Distribution):
    """A density over vectors, given the density of the standardized vectors."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  (the name and form are torch's)
    support = constraints.real_vector
    has_rsample = False
    _chunk = 2**13  # elements per pass through the flow, which holds hundreds of numbers per element

    def __init__(self, density: Distribution, mean: Tensor, deviation: Tensor) -> None:
        self.density = density
        self._center = mean
        self._deviation = deviation
        super().__init__(event_shape=mean.shape, validate_args=False)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Draw vectors, (*sample_shape, D), from torch's default generator."""
        count = math.prod(sample_shape)
        draws = self._center.new_empty(count, len(self._center))
        with torch.no_grad():
            for part in torch.split(draws, self._rows()):
                part.copy_(self._center + self._deviation * self.density.sample((len(part),)))
        return draws.reshape(*sample_shape, len(self._center))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, (*sample_shape,)."""
        points = ((value - self._center) / self._deviation).reshape(-1, len(self._center))
        rows = [self.density.log_prob(part) for part in torch.split(points, self._rows())]
        log_density: Tensor = torch.cat(rows) - self._deviation.log().sum()
        return log_density.reshape(value.shape[:-1])

    def _rows(self) -> int:
        return max(1, self._chunk // len(self._center))
