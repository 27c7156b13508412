"""The paper's training step in plain torch, which the package is compared with: eager float32, no fused operations.

It upsamples before each convolution, and uses pytorch-msssim and torch's Adam. Its weights have the package's names, so
that both can start from the same weights. Both use the plugins' augmentation.
"""

from itertools import pairwise

import pytorch_msssim
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = (1 / 8 + 1 / 3) / 2


class Block(nn.Module):
    """The residual block of Figure 2."""

    def __init__(self, inputs: int, outputs: int, resample: nn.Module) -> None:
        super().__init__()
        self.resample = resample
        self.conv1 = nn.Conv2d(inputs, outputs // 2, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs // 2)
        self.conv2 = nn.Conv2d(outputs // 2, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, resampled H, resampled W)."""
        main = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        main = self.norm2(self.conv2(self.resample(main)))
        return F.leaky_relu(main + self.skip(self.resample(x)), SLOPE)


class Encoder(nn.Module):
    """Five residual blocks from 64 x 64 pixels to 2 x 2 maps."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.blocks = nn.Sequential(*(Block(a, b, nn.AvgPool2d(2)) for a, b in pairwise(sizes)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, 64, 64) to (N, features), flattened."""
        return self.blocks(x).flatten(1)


class Decoder(nn.Module):
    """Six residual blocks from a latent, as a map of one pixel, to 64 x 64 logits."""

    def __init__(self, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        sizes = [latent_dim, 8 * width, 8 * width, 4 * width, 2 * width, width, width // 2]
        self.blocks = nn.Sequential(*(Block(a, b, nn.Upsample(scale_factor=2)) for a, b in pairwise(sizes)))
        self.head = nn.Conv2d(width // 2, channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map (N, latent_dim) to (N, channels, 64, 64)."""
        return self.head(self.blocks(z[:, :, None, None]))


class Heads(nn.Module):
    """Linear heads for mean and log-variance of the latent."""

    def __init__(self, features: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latent_dim)
        self.logvar = nn.Linear(features, latent_dim)


class PlainVAE(nn.Module):
    """The paper's model of otoscopy and wideband tympanometry."""

    def __init__(self, width: int, latent_dim: int = 128) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([Encoder(3, width), Encoder(1, width)])
        self.decoders = nn.ModuleList([Decoder(3, width, latent_dim), Decoder(1, width, latent_dim)])
        self.fusion = Heads(2 * 4 * 8 * width, latent_dim)

    def loss(self, inputs: list[Tensor], targets: list[Tensor], labels: Tensor) -> Tensor:
        """Return the paper's loss, equation 1."""
        features = torch.cat([encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)], 1)
        mean, logvar = self.fusion.mean(features), self.fusion.logvar(features)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        picture, grid = (decoder(z) for decoder in self.decoders)
        similarity = pytorch_msssim.ssim(torch.sigmoid(picture), targets[0], data_range=1.0)
        reconstruction = 1 - similarity + F.binary_cross_entropy_with_logits(grid, targets[1])
        kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).mean()
        return reconstruction + 0.1 * kl + 0.1 * semi_hard_triplets(mean, labels, margin=0.2)


def semi_hard_triplets(latents: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return the mean triplet loss over all semi-hard triplets of a batch."""
    distances = (latents[:, None] - latents[None]).square().sum(2).clamp_min(1e-12).sqrt()
    same = labels[:, None] == labels
    positive, negative = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same
    gap = distances[:, None, :] - distances[:, :, None]  # anchor, positive, negative
    semi_hard = positive[:, :, None] & negative[:, None, :] & (gap > 0) & (gap < margin)
    return (margin - gap)[semi_hard].mean() if semi_hard.any() else latents.sum() * 0


def train_step(
    model: PlainVAE, inputs: list[Tensor], targets: list[Tensor], labels: Tensor, optimizer: torch.optim.Optimizer
) -> float:
    """Take one training step, and return its loss."""
    loss = model.loss(inputs, targets, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
