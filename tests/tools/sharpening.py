"""A small refiner for tests."""

import torch
from torch import nn

import multimodal_vae as mv


class Sharpen(mv.Refiner):
    """One convolution, trained by squared error, and noise at the deviation of what is left."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width

    def build(self, shape, latent_dim, classes):
        if len(shape) == 1:
            raise mv.ConfigurationError("no axes of space")
        convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(shape) - 1]
        self.network = convolution(shape[0], shape[0], self.width, padding=self.width // 2)
        self.deviation = nn.Parameter(torch.tensor(0.1))
        self.register_buffer("range", torch.tensor([torch.inf, -torch.inf]))

    def loss(self, coarse, target, latents, labels):
        if self.training:
            self.range[0].clamp_(max=target.min())
            self.range[1].clamp_(min=target.max())
        residual = (target - coarse - self.network(coarse)).square().flatten(1).mean(1)
        return residual + (self.deviation.square() - residual.detach()).square()

    def forward(self, coarse, latents, labels, noise):
        refined = coarse + self.network(coarse) + self.deviation * noise
        return torch.where(self.range[0] <= self.range[1], refined.clamp(*self.range), refined)
