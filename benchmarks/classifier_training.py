"""The classifier of the benchmark of augmentation: a small network in plain torch, its training and its metrics."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn

from multimodal_vae.nn.augmentation import random_flip, random_rotation

BATCH = 32
RATE = 1e-3
"""Highest learning rate of the one-cycle schedule."""

DEGREES = 20.0
NOISE = 0.3
"""Standard deviation of the noise that augments standardized vectors."""

WIDTH = 16

Augment = Callable[[Tensor], Tensor]


def network(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network for images (C, H, W), of three convolutions, or for vectors (F,), of one hidden layer."""
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, classes))
    layers: list[nn.Module] = []
    channels = shape[0]
    for width in (WIDTH, 2 * WIDTH, 4 * WIDTH):
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def plain_augmentation(x: Tensor) -> Tensor:
    """Return images (N, C, H, W), flipped and rotated at random, or vectors (N, F) with Gaussian noise."""
    if x.dim() == 2:
        return x + NOISE * torch.randn_like(x)
    return random_rotation(random_flip(x, 0.5), 0.5, DEGREES)


class Inputs:
    """Inputs of the classifier: images at half their size, standardized per channel, or vectors, per element.

    Args:
        x: (N, *shape), real training samples.
    """

    def __init__(self, x: Tensor) -> None:
        x = halved(x)
        axes = [0, *range(2, x.dim())]
        self.mean = x.mean(axes, keepdim=True)
        self.scale = x.std(axes, keepdim=True).clamp_min(1e-6)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the inputs of samples (N, *shape)."""
        return (halved(x) - self.mean) / self.scale


def halved(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) at half their size, and vectors (N, F) as they are."""
    return x if x.dim() == 2 else F.avg_pool2d(x, 2)


def train_classifier(
    x: Tensor,
    labels: Tensor,
    classes: int,
    steps: int,
    seed: int,
    weighted: bool = False,
    augment: Augment | None = None,
) -> nn.Module:
    """Return a trained classifier, in evaluation mode.

    Args:
        x: (N, *shape), inputs.
        labels: (N,), class indices.
        classes: number of classes.
        steps: number of batches, which all arms share.
        seed: seed of initial weights, batches and augmentation.
        weighted: whether the loss weighs classes by the inverse of their frequency.
        augment: augmentation of each batch. Default: none.
    """
    torch.manual_seed(seed)
    model = network(tuple(x.shape[1:]), classes)
    weight = len(labels) / (classes * torch.bincount(labels, minlength=classes)) if weighted else None
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for rows in epochs(len(x), steps):
        batch = augment(x[rows]) if augment else x[rows]
        optimizer.zero_grad()
        F.cross_entropy(model(batch), labels[rows], weight).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def epochs(count: int, steps: int) -> list[Tensor]:
    """Return the rows of batches of equal size, from shuffled samples that are shuffled anew when they are used up."""
    size = min(BATCH, count)
    orders = [torch.randperm(count) for _ in range(-(-steps * size // count))]
    return list(torch.cat(orders)[: steps * size].split(size))


@torch.no_grad()
def score(model: nn.Module, x: Tensor, labels: Tensor) -> dict[str, float]:
    """Return balanced accuracy, and the area under the ROC curve as the mean over classes against all others."""
    probabilities = model(x).softmax(1).double()
    others = F.one_hot(labels, probabilities.shape[1])
    return {
        "accuracy": round(float(balanced_accuracy_score(labels, probabilities.argmax(1))), 4),
        "auc": round(float(roc_auc_score(others, probabilities)), 4),
    }
