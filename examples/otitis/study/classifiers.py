"""Classifiers that measure how much tympanograms and images of a cohort reveal about the diagnosis.

They are trained on one cohort and evaluated on another one, of another seed, so that no patient is in both.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor, nn

from multimodal_vae_otoscopy import Otoscopy

Real = NDArray[np.float64]
Pictures = NDArray[np.uint8]

COMPONENTS = 20
EPOCHS = 30
BATCH = 32
WIDTHS = (16, 32, 64, 128)


def sound_classifier() -> Pipeline:
    """Return a classifier of WBT by principal components and quadratic discriminants; it is poorly calibrated."""
    return make_pipeline(PCA(COMPONENTS, random_state=0), QuadraticDiscriminantAnalysis(reg_param=1e-3))


def sound_odds() -> Pipeline:
    """Return a calibrated classifier of WBT, by logistic regression on principal components."""
    return make_pipeline(PCA(COMPONENTS, whiten=True, random_state=0), LogisticRegression(C=0.3, max_iter=2000))


def sound_reader() -> Pipeline:
    """Return a regression on the principal components of WBT."""
    return make_pipeline(PCA(COMPONENTS, whiten=True, random_state=0), RidgeCV(np.geomspace(0.1, 1e3, 9)))


class ImageClassifier:
    """A small convolutional network, trained with the otoscopy plugin's flips and rotations.

    Args:
        pictures: (N, 3, 64, 64).
        labels: (N,) strings.
        seed: of weights, order and augmentation.
    """

    def __init__(self, pictures: Pictures, labels: NDArray[np.str_], seed: int = 0) -> None:
        self.classes = np.unique(labels)
        torch.manual_seed(seed)
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(WIDTHS[-1], len(self.classes)))
        self.network = nn.Sequential(*_layers(), *head)
        indices = torch.from_numpy(np.searchsorted(self.classes, labels))
        _train(self.network, _scaled(pictures), indices, nn.CrossEntropyLoss(label_smoothing=0.05))

    def probabilities(self, pictures: Pictures) -> Real:
        """Return the probability of each class, (N, classes), averaged over the picture and its mirror image."""
        return _mean_with_mirror_image(nn.Sequential(self.network, nn.Softmax(1)), pictures)


class ImageReader:
    """The same network as a regression; it keeps positions in the picture, such as a fluid's level.

    Args:
        pictures: (N, 3, 64, 64).
        values: (N,) true values.
        seed: of weights, order and augmentation.
    """

    def __init__(self, pictures: Pictures, values: Real, seed: int = 0) -> None:
        torch.manual_seed(seed)
        head = (nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * WIDTHS[-1], 1), nn.Flatten(0))
        self.network = nn.Sequential(*_layers(), *head)
        standardized = torch.from_numpy((values - values.mean()) / values.std()).float()
        _train(self.network, _scaled(pictures), standardized, nn.MSELoss())

    def read(self, pictures: Pictures) -> Real:
        """Return standardized predictions (N,), averaged over the picture and its mirror image."""
        return _mean_with_mirror_image(self.network, pictures)


def _layers() -> list[nn.Module]:
    """Return four strided layers, from (3, 64, 64) to (128, 4, 4)."""
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise((3, *WIDTHS))):
        size = 3 if index else 5
        layers += [nn.Conv2d(inputs, outputs, size, 2, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return layers


def _train(network: nn.Module, x: Tensor, y: Tensor, loss: nn.Module) -> None:
    augment = Otoscopy().augment
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
            optimizer.zero_grad()
            loss(network(augment(x[rows]) - 0.4), y[rows]).backward()
            optimizer.step()
            schedule.step()
    network.eval()


def _mean_with_mirror_image(network: nn.Module, pictures: Pictures) -> Real:
    x = _scaled(pictures)
    with torch.no_grad():
        return np.asarray((network(x - 0.4) + network(x.flip(3) - 0.4)) / 2)


def _scaled(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures).float() / 255


def joined(image: Real, sound: Real, prior: Real) -> Real:
    """Return p(c|x) p(c|w) / p(c), normalized: probabilities as if image and sound were independent given the class."""
    product = image * sound / prior
    return np.asarray(product / product.sum(1, keepdims=True))
