"""A judge that marks landmarks of the eardrum pixel by pixel, and so has to look at the landmark itself.

From a picture's class and blur alone one can guess fairly well whether it shows a handle of the malleus; a judge that
learns one answer a picture learns just that. This one is told of every pixel whether the landmark is what is seen
there, by the same ear rendered without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ears import Ears
from landmarks import LANDMARKS, LEAST_PIXELS, REMOVED, blurred, changed_pixels
from multimodal_vae.errors import RunError
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.nn import random_flip, random_rotation

BLURS = (1.0, 1.5, 3.0)
"""Pixels, standard deviation. Of a blurred picture, too, it is known what can be seen: its other one is blurred too."""
DEGREES = 20.0
WIDTH = 24
SURE = tuple(percent / 100 for percent in range(50, 100, 5))
"""Probabilities that may be asked of a pixel before it counts."""


@dataclass(frozen=True)
class Lessons:
    """Pictures (N, 3, size, size), and which of their pixels show which landmark, (N, landmarks, size, size)."""

    pictures: Tensor
    marks: Tensor


def lessons(ears: Ears) -> Lessons:
    """Each ear as it is, without each landmark that can be removed, and blurred."""
    picture = ears.samples.values["otoscopy"]
    marked = marks(ears)
    pictures, known = [picture], [marked]
    for name in REMOVED:
        without = marked.clone()
        without[:, LANDMARKS.index(name)] = 0
        pictures.append(ears.others[name])
        known.append(without)
    for sigma in BLURS:
        pictures.append(blurred(picture, sigma))
        known.append(marks(ears, sigma))
    return Lessons(torch.cat(pictures), torch.cat(known))


def marks(ears: Ears, sigma: float = 0.0) -> Tensor:
    """Pixels of each landmark, 0 or 1, (N, landmarks, size, size); of the pictures blurred where `sigma` says so."""
    picture = blurred(ears.samples.values["otoscopy"], sigma)
    return torch.stack([changed_pixels(picture, blurred(ears.others[name], sigma)) for name in LANDMARKS], 1).float()


class LandmarkJudge(nn.Module):
    """Says of every pixel how likely each landmark of :data:`landmarks.LANDMARKS` is what is seen there.

    A network of three resolutions, a half, a quarter and an eighth of the picture's, joined across.

    Attributes:
        sure: (landmarks,), the probability from which on a pixel counts.

    Example:
        >>> LandmarkJudge().sees(torch.zeros(2, 3, 64, 64))["malleus"].shape
        torch.Size([2])
    """

    sure: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._half = _block(4 * 3, WIDTH)
        self._quarter = _block(WIDTH, 2 * WIDTH)
        self._eighth = _block(2 * WIDTH, 4 * WIDTH)
        self._up_to_quarter = _block(4 * WIDTH + 2 * WIDTH, 2 * WIDTH)
        self._up_to_half = _block(2 * WIDTH + WIDTH, 2 * WIDTH)
        self._marks = nn.Conv2d(2 * WIDTH, 4 * len(LANDMARKS), 1)
        self.register_buffer("sure", torch.full((len(LANDMARKS),), SURE[0]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, landmarks, size, size) of pictures (N, 3, size, size) in [0, 1]; size is a multiple of 8."""
        half = self._half(F.pixel_unshuffle(pictures - 0.5, 2))
        quarter = self._quarter(F.avg_pool2d(half, 2))
        x = self._eighth(F.avg_pool2d(quarter, 2))
        x = self._up_to_quarter(torch.cat([F.interpolate(x, scale_factor=2.0), quarter], 1))
        x = self._up_to_half(torch.cat([F.interpolate(x, scale_factor=2.0), half], 1))
        return F.pixel_shuffle(self._marks(x), 2)

    def mark(self, pictures: Tensor, batch: int = 128) -> Tensor:
        """Return probabilities (N, landmarks, size, size), in evaluation mode."""
        self.eval()
        with torch.no_grad():
            return torch.cat([self(some).sigmoid() for some in pictures.split(batch)])

    def likelihood(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """The sum of a picture's probabilities, (N,) by landmark: what pictures are ranked by."""
        return dict(zip(LANDMARKS, self.mark(pictures).sum((2, 3)).unbind(1), strict=True))

    def sees(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """Whether enough pixels count as a landmark's for it to be seen, (N,) of bool by name."""
        counted = self.mark(pictures) > self.sure[:, None, None]
        return dict(zip(LANDMARKS, _enough(counted).unbind(1), strict=True))

    def calibrate(self, taught: Lessons) -> None:
        """Choose :attr:`sure` such that of the lessons as many are said to show a landmark as do."""
        marked, truth = self.mark(taught.pictures), _enough(taught.marks > 0).double().mean(0)
        said = torch.stack([_enough(marked > least).double().mean(0) for least in SURE])
        self.sure.copy_(torch.tensor(SURE)[(said - truth).abs().argmin(0)])

    def save(self, path: Path) -> None:
        """Write the weights to a .safetensors file."""
        write_tensors(path, self.state_dict(), {})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read weights back.

        Raises:
            RunError: if the file is missing, damaged, or not of this network.
        """
        judge = cls()
        tensors, _ = read_tensors(path)
        try:
            judge.load_state_dict(tensors)
        except RuntimeError as error:
            raise RunError(f"{path} does not hold the weights of this version's judge of landmarks") from error
        return judge.eval()


def train_landmark_judge(taught: Lessons, epochs: int, batch: int = 64, seed: int = 0) -> LandmarkJudge:
    """Learn from lessons, each seen once an epoch, flipped and rotated with its marks.

    Marked pixels are few, so that an error there counts as much more as they are rarer, by the root of that.
    """
    joined = torch.cat([taught.pictures, taught.marks], 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = LandmarkJudge()
        share = taught.marks.mean((0, 2, 3)).clamp(min=1e-4)
        weight = ((1 - share) / share).sqrt()[:, None, None]
        optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=1e-2)
        steps = epochs * -(-len(joined) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
        judge.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(joined)).split(batch):
                x = random_rotation(random_flip(joined[rows], 0.5), 1.0, DEGREES)
                loss = F.binary_cross_entropy_with_logits(judge(x[:, :3]), x[:, 3:].clamp(0, 1), pos_weight=weight)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    judge.calibrate(taught)
    return judge


def _enough(pixels: Tensor) -> Tensor:
    """Whether so many of (..., 64, 64) are true that a landmark counts as seen."""
    return pixels.sum((-2, -1)) >= LEAST_PIXELS


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, normalized."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
