"""A judge that marks landmarks of the eardrum pixel by pixel.

A judge that learns one answer per picture guesses from class and blur whether the picture shows a handle of the
malleus. This judge learns for every pixel whether it shows the landmark, from the same ear rendered without it, and so
has to look at the landmark itself.
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
from landmarks import LANDMARKS, REMOVED, blurred, changed_pixels, enough
from multimodal_vae.errors import RunError
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.nn import random_flip, random_rotation

BLURS = (1.0, 1.5, 3.0)
"""Standard deviations, in pixels, of the blurred pictures to learn from; their marks are known too."""
DEGREES = 20.0
"""Largest rotation in training."""
WIDTH = 24
THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Probabilities to choose from, above which a pixel counts as a landmark's."""


@dataclass(frozen=True)
class Lessons:
    """Pictures with their marked pixels.

    Attributes:
        pictures: (N, 3, size, size).
        marks: (N, landmarks, size, size), 1 where a pixel shows the landmark, else 0.
    """

    pictures: Tensor
    marks: Tensor


def lessons(ears: Ears) -> Lessons:
    """Return each ear unchanged, without each landmark that can be removed, and blurred."""
    picture = ears.samples.values["otoscopy"]
    original_marks = marks(ears)
    pictures, all_marks = [picture], [original_marks]
    for name in REMOVED:
        without = original_marks.clone()
        without[:, LANDMARKS.index(name)] = 0
        pictures.append(ears.others[name])
        all_marks.append(without)
    for sigma in BLURS:
        pictures.append(blurred(picture, sigma))
        all_marks.append(marks(ears, sigma))
    return Lessons(torch.cat(pictures), torch.cat(all_marks))


def marks(ears: Ears, sigma: float = 0.0) -> Tensor:
    """Return 1 where a pixel shows a landmark, else 0, (N, landmarks, size, size), after a blur by `sigma` pixels."""
    picture = blurred(ears.samples.values["otoscopy"], sigma)
    return torch.stack([changed_pixels(picture, blurred(ears.others[name], sigma)) for name in LANDMARKS], 1).float()


class LandmarkJudge(nn.Module):
    """Predict for every pixel the probability that it shows each of :data:`landmarks.LANDMARKS`.

    The network has three resolutions, a half, a quarter and an eighth of the picture's, with skip connections.

    Attributes:
        threshold: (landmarks,), the probability above which a pixel counts as the landmark's.

    Example:
        >>> LandmarkJudge().detect(torch.zeros(2, 3, 64, 64))["malleus"].shape
        torch.Size([2])
    """

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._half = _block(4 * 3, WIDTH)
        self._quarter = _block(WIDTH, 2 * WIDTH)
        self._eighth = _block(2 * WIDTH, 4 * WIDTH)
        self._up_to_quarter = _block(4 * WIDTH + 2 * WIDTH, 2 * WIDTH)
        self._up_to_half = _block(2 * WIDTH + WIDTH, 2 * WIDTH)
        self._marks = nn.Conv2d(2 * WIDTH, 4 * len(LANDMARKS), 1)
        self.register_buffer("threshold", torch.full((len(LANDMARKS),), THRESHOLDS[0]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, landmarks, size, size) of pictures (N, 3, size, size) in [0, 1]; 8 divides size."""
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
            return torch.cat([self(part).sigmoid() for part in pictures.split(batch)])

    def likelihood(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """Return the sum of each picture's probabilities, (N,) by landmark, to rank pictures by."""
        return dict(zip(LANDMARKS, self.mark(pictures).sum((2, 3)).unbind(1), strict=True))

    def detect(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """Return whether each landmark is detected in each picture, (N,) of bool by name."""
        above = self.mark(pictures) > self.threshold[:, None, None]
        return dict(zip(LANDMARKS, enough(above).unbind(1), strict=True))

    def calibrate(self, examples: Lessons) -> None:
        """Choose :attr:`threshold` so that each landmark is detected in as many examples as show it."""
        marked, truth = self.mark(examples.pictures), enough(examples.marks > 0).double().mean(0)
        detected = torch.stack([enough(marked > threshold).double().mean(0) for threshold in THRESHOLDS])
        self.threshold.copy_(torch.tensor(THRESHOLDS)[(detected - truth).abs().argmin(0)])

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
            raise RunError(
                f"{path} holds no weights of this version's landmark judge; train the judges anew"
            ) from error
        return judge.eval()


def train_landmark_judge(
    examples: Lessons, epochs: int, batch: int = 64, seed: int = 0, crop: int | None = None
) -> LandmarkJudge:
    """Train a judge on examples, which are flipped and rotated together with their marks.

    With ``crop``, each step sees random squares of so many pixels, which takes less time for larger pictures. Marked
    pixels are rare. An error on one is weighted by the square root of unmarked over marked pixels.
    """
    joined = torch.cat([examples.pictures, examples.marks], 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = LandmarkJudge()
        share = examples.marks.mean((0, 2, 3)).clamp(min=1e-4)
        weight = ((1 - share) / share).sqrt()[:, None, None]
        optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=1e-2)
        steps = epochs * -(-len(joined) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
        judge.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(joined)).split(batch):
                x = random_rotation(random_flip(joined[rows], 0.5), 1.0, DEGREES)
                if crop:
                    top, left = torch.randint(x.shape[-1] - crop + 1, (2,)).tolist()
                    x = x[..., top : top + crop, left : left + crop]
                loss = F.binary_cross_entropy_with_logits(judge(x[:, :3]), x[:, 3:].clamp(0, 1), pos_weight=weight)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    judge.calibrate(examples)
    return judge


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two normalized convolutions."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
