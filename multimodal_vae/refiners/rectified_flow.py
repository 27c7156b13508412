"""A small rectified flow that gives decoded samples the details that they lack."""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.nn.dimensions import AVERAGE_POOL, INTERPOLATION
from multimodal_vae.nn.haar import haar, inverse_haar
from multimodal_vae.nn.mlp import mlp
from multimodal_vae.nn.unet import MULTIPLE, UNet
from multimodal_vae.refiners.base import Refiner

_FREQUENCIES = 16
"""Number of frequencies at which the network sees the time, and the amount of noise."""
_MEASURED = 2000
"""Number of training samples on which scales are measured."""
_MOST = 2.0
"""Largest factor by which calibrating may change a subband."""
_MOST_CELLS = 1024
"""Number of elements of each map that the network sees, as of a picture of 64 x 64. Larger samples have more maps."""
_WIDEST = 4
"""Largest factor by which the finest level of the network is wider for large samples."""
_LOG_DEVIATION = -5.0, 2.0
"""Range of the logarithm of the deviation that the network expects somewhere, over the residual's on average."""
_FEW = 16
"""Number of samples that are calibrated at a time."""
_UNLABELED = 0.1
"""Share of training samples whose class is hidden, so that the network also learns to do without it."""


class RectifiedFlow(Refiner):
    r"""A flow along straight lines from noise to the residual: what a sample has beyond the pooled decoded sample.

    With *c* the decoded sample, pooled, with noise of a known amount, and enlarged, and *r* the residual in Haar
    wavelet space, each subband divided by its deviation over the training samples, *v* is learned by

    .. math:: \min_v \; E \lVert v(r_t, t, c) - (r - \varepsilon) \rVert^2,
        \quad r_t = (1 - t)\, \varepsilon + t\, r, \quad \varepsilon \sim N(0, I)

    (Liu et al. 2023, equation 1). Since each subband has deviation one, fine details, which have little energy, are
    learned as well as coarse ones. The network gives two maps for each subband: the power *p* that it expects of the
    residual at each place, and what *v* has beyond the velocity of white noise of this power,

    .. math:: \frac{t p - (1 - t)}{(1 - t)^2 + t^2 p}\; r_t

    (the mean of *v* given :math:`r_t`, as in Karras et al. 2022, equation 7). So a camera's noise need not be learned,
    and where there is none, as outside a round picture, one number takes it away. Samples larger than 64 x 64 are
    transformed two or more times: the network sees more maps, and not larger ones, and its finest level is wider.

    The midpoint method follows *v* from noise to a residual. Six of its steps reproduce the energy of white noise;
    twelve of Euler's take as long and lose a fifth of it. A small network that learned for minutes loses energy as
    well. So, after the training, each subband is multiplied by one number that gives it the energy of real residuals.

    After a training, means over cells of 8 should differ from those of decoded samples by no more than held-out real
    samples differ from their reconstructions.

    Args:
        width: channels of the network's finest level, a multiple of 8; more for samples larger than 64 x 64. The cost
            grows with its square.
        pool: side of the cells over which decoded samples are averaged. Larger cells leave the flow more freedom: 1
            keeps the most of what the decoder draws, 8 only colors and layout.
        noise: maximum deviation of the noise that is added in training to pooled samples, in units of the decoder's
            error there, and to latents, where the prior has deviation one. So the flow learns to correct errors, and
            not to know training samples by their latents. The network is told its amount; new samples get none.
        integration_steps: number of steps from noise to a sample, of two evaluations of the network each. Three take
            half the time of six and give nearly the same; one is enough for the energy of details, not for their form.

    Example:
        >>> import torch
        >>> flow = RectifiedFlow(width=8, integration_steps=2)
        >>> flow.build((3, 16, 16), latent_dim=4, classes=2)
        >>> coarse, latents, labels = torch.zeros(5, 3, 16, 16), torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64)
        >>> flow(coarse, latents, labels, torch.randn(5, 3, 16, 16)).shape
        torch.Size([5, 3, 16, 16])
    """

    scale: Tensor
    center: Tensor
    error: Tensor
    deviation: Tensor
    gain: Tensor
    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(
        self,
        width: Annotated[int, Field(gt=0, multiple_of=8)] = 32,
        pool: Literal[1, 2, 4, 8] = 2,
        noise: NonNegativeFloat = 1.0,
        integration_steps: PositiveInt = 6,
    ) -> None:
        super().__init__()
        self.width = width
        self.pool = pool
        self.noise = noise
        self.integration_steps = integration_steps

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int) -> None:
        """Create the network, with scales of one until training measures them.

        Raises:
            ConfigurationError: if samples are not signals, pictures or volumes.
        """
        channels, *space = shape
        axes = len(space)
        if axes not in AVERAGE_POOL:
            raise ConfigurationError(
                f"a rectified flow refines samples with one to three axes of space, but they have the shape {shape}"
            )
        self.levels = 1
        while math.prod(space) > _MOST_CELLS * 2 ** (axes * self.levels):
            self.levels += 1
        cells, features = channels * 2 ** (axes * self.levels), 4 * self.width
        # F.pad counts from the last axis, and takes what comes before it and after it.
        self.padding = [pad for n in reversed(space) for pad in (0, -n % max(2**self.levels * MULTIPLE, self.pool))]
        self.numbers = mlp([4 * _FREQUENCIES, features, features])
        self.latents = nn.Linear(latent_dim, features)
        self.classes = nn.Embedding(classes + 1, features)
        # Four channels for three subbands, where that is not too slow.
        finest = min(max(self.width, 8 * math.ceil(cells / 6)), _WIDEST * self.width)
        self.network = UNet(axes, 2 * cells, 2 * cells, self.width, features, finest)
        ones = torch.ones(channels, *(1 for _ in space))
        largest = torch.finfo(ones.dtype).max
        for name, value in (
            ("center", 0 * ones),
            ("scale", ones.clone()),
            ("error", ones.clone()),
            ("deviation", torch.ones(cells, *(1 for _ in space))),
            ("gain", torch.ones(cells, *(1 for _ in space))),
            ("low", -largest * ones),
            ("high", largest * ones),
            ("seen", torch.zeros(())),
        ):
            self.register_buffer(name, value)

    def loss(self, coarse: Tensor, target: Tensor, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the squared error of the velocity at one random time per sample, with random noise of *c*.

        Times are logit-normal (Esser et al. 2024, section 3.1). In training, scales are measured first.
        """
        count, axes = len(coarse), coarse.dim() - 2
        if self.training:
            self._measure_samples(coarse, target)
        amount = self.noise * torch.rand(count, device=coarse.device).square()
        rows = amount.reshape(-1, *(1,) * (axes + 1))
        pooled = self._pooled(coarse)
        condition = self._enlarged(pooled + rows * self.error * torch.randn_like(pooled))
        residual = haar(self._standardized(target) - condition, self.levels)
        if self.training:
            self._measure_residual(residual)
        residual = residual / self.deviation
        noise = torch.randn_like(residual)
        time = torch.randn(count, device=coarse.device).sigmoid()
        along = time.reshape(rows.shape)
        labels = torch.where(torch.rand(count, device=coarse.device) < _UNLABELED, -1, labels)
        latents = latents + amount[:, None] * torch.randn_like(latents)
        velocity = self._velocity((1 - along) * noise + along * residual, time, condition, amount, latents, labels)
        return (velocity - (residual - noise)).square().flatten(1).mean(1)

    def calibrate(self, coarse: Tensor, target: Tensor, latents: Tensor, labels: Tensor) -> None:
        """Measure by how much generated residuals lack energy, subband by subband."""
        condition = self._enlarged(self._pooled(coarse))
        real = haar(self._standardized(target) - condition, self.levels) / self.deviation
        arguments = (condition, latents, labels, torch.randn_like(condition))
        few = (torch.split(x, _FEW) for x in arguments)  # a network's maps take much more memory than samples
        new = torch.cat([self._residual(*some) for some in zip(*few, strict=True)])
        axes = (0, *range(2, real.dim()))
        energy, wanted = (x.square().mean(axes, keepdim=True)[0] for x in (new, real))
        self.gain.copy_((wanted / energy.clamp(min=torch.finfo(energy.dtype).eps)).sqrt().clamp(1 / _MOST, _MOST))

    def forward(self, coarse: Tensor, latents: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """Refine samples by steps of the midpoint method, within the range of the training samples."""
        condition = self._enlarged(self._pooled(coarse))
        residual = self._residual(condition, latents, labels, self._padded(noise))
        fine = condition + inverse_haar(residual * self.gain * self.deviation, self.levels)
        for axis, length in enumerate(coarse.shape[2:], start=2):
            fine = fine.narrow(axis, 0, length)
        return (self.center + self.scale * fine).clamp(self.low, self.high)

    def _residual(self, condition: Tensor, latents: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """Follow the velocity from noise to a residual of deviation one, in wavelet space."""
        amount = condition.new_zeros(len(condition))
        state, length = haar(noise, self.levels), 1 / self.integration_steps

        def velocity(state: Tensor, time: float) -> Tensor:
            return self._velocity(state, torch.full_like(amount, time), condition, amount, latents, labels)

        for step in range(self.integration_steps):
            middle = state + length / 2 * velocity(state, step * length)
            state = state + length * velocity(middle, (step + 0.5) * length)
        return state

    def _velocity(
        self, state: Tensor, time: Tensor, condition: Tensor, amount: Tensor, latents: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the velocity of a residual that is normal noise of the network's power, and what the network adds."""
        along = time.reshape(-1, *(1,) * (state.dim() - 1))
        numbers = torch.stack([time, amount], 1)
        features = self.numbers(_waves(numbers)) + self.latents(latents) + self.classes(labels + 1)
        coarse = haar(condition, self.levels) / 2 ** (self.levels * (condition.dim() / 2 - 1))
        maps = torch.cat([state / ((1 - along) ** 2 + along**2).sqrt(), coarse], 1)
        both: Tensor = self.network(maps, F.silu(features))
        learned, log = both.to(state.dtype).chunk(2, 1)
        power = (2 * log.clamp(*_LOG_DEVIATION)).exp()
        return (along * power - (1 - along)) / ((1 - along) ** 2 + along**2 * power) * state + learned

    def _padded(self, x: Tensor) -> Tensor:
        """Return samples whose sides the network can halve."""
        return F.pad(x, self.padding, "replicate") if any(self.padding) else x

    def _standardized(self, x: Tensor) -> Tensor:
        return self._padded((x - self.center) / self.scale)

    def _pooled(self, coarse: Tensor) -> Tensor:
        x = self._standardized(coarse)
        return AVERAGE_POOL[x.dim() - 2](x, self.pool) if self.pool > 1 else x

    def _enlarged(self, x: Tensor) -> Tensor:
        if self.pool == 1:
            return x
        return F.interpolate(x, scale_factor=float(self.pool), mode=INTERPOLATION[x.dim() - 2])

    @torch.no_grad()
    def _measure_samples(self, coarse: Tensor, target: Tensor) -> None:
        """Widen the range, and average center, scale and the decoder's error over the first training samples."""
        space = (0, *range(2, target.dim()))
        first = self.seen == 0
        low, high = target.amin(space, keepdim=True)[0], target.amax(space, keepdim=True)[0]
        self.low.copy_(torch.where(first, low, torch.minimum(self.low, low)))
        self.high.copy_(torch.where(first, high, torch.maximum(self.high, high)))
        share = self._share(len(target))
        deviation = target.std(space, keepdim=True, correction=0)[0]
        self.center.lerp_(target.mean(space, keepdim=True)[0], share)
        self.scale.lerp_(deviation.clamp(min=torch.finfo(target.dtype).eps), share)
        error = (self._pooled(coarse) - self._pooled(target)).square().mean(space, keepdim=True)[0].sqrt()
        self.error.lerp_(error, share)

    @torch.no_grad()
    def _measure_residual(self, residual: Tensor) -> None:
        """Average the deviation of each subband over the first training samples."""
        deviation = residual.square().mean((0, *range(2, residual.dim())), keepdim=True).sqrt()[0]
        self.deviation.lerp_(deviation.clamp(min=torch.finfo(residual.dtype).eps), self._share(len(residual)))
        self.seen += len(residual)

    def _share(self, count: int) -> Tensor:
        """Return the weight of a batch in the averages: zero once enough samples have been seen."""
        return torch.where(self.seen < _MEASURED, count / (self.seen + count), 0.0)


def _waves(numbers: Tensor) -> Tensor:
    """Return sines and cosines of numbers (N, K), (N, 2 * K * frequencies)."""
    frequencies = torch.logspace(0, math.log10(100), _FREQUENCIES, device=numbers.device)
    angles = (numbers[:, :, None] * frequencies).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], 1)
