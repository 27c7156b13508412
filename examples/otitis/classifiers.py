"""Classifiers that say how much of a diagnosis tympanograms and images of a cohort carry.

All are trained on one cohort and asked about another, drawn with another seed: no patient is in both.
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
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from multimodal_vae_otoscopy import Otoscopy

Real = NDArray[np.float64]
Pictures = NDArray[np.uint8]

COMPONENTS = 20
EPOCHS = 30
BATCH = 32
WIDTHS = (16, 32, 64, 128)


def sound_classifier() -> Pipeline:
    """Of WBT: principal components and quadratic discriminants, whose answers are good and whose odds are not."""
    return make_pipeline(PCA(COMPONENTS, random_state=0), QuadraticDiscriminantAnalysis(reg_param=1e-3))


def sound_odds() -> Pipeline:
    """Of WBT: logistic regression on principal components, whose probabilities can be joined with others."""
    return make_pipeline(PCA(COMPONENTS, whiten=True, random_state=0), LogisticRegression(C=0.3, max_iter=2000))


def sound_reader() -> Pipeline:
    """A regression on the principal components of WBT."""
    return make_pipeline(PCA(COMPONENTS, whiten=True, random_state=0), RidgeCV(np.geomspace(0.1, 1e3, 9)))


def feature_reader() -> Pipeline:
    """A regression on an image's features."""
    return make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1, 1e4, 9)))


class ImageClassifier:
    """A small convolutional network, trained with the flips and rotations that training in the package uses.

    Args:
        pictures: (N, 3, 64, 64).
        labels: (N,) strings.
        seed: of weights, order and augmentation.
    """

    def __init__(self, pictures: Pictures, labels: NDArray[np.str_], seed: int = 0) -> None:
        self.classes = np.unique(labels)
        torch.manual_seed(seed)
        steps: list[nn.Module] = []
        for index, (given, made) in enumerate(pairwise((3, *WIDTHS))):
            size = 3 if index else 5
            steps += [nn.Conv2d(given, made, size, 2, size // 2, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
        self.body = nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTHS[-1], len(self.classes)))
        self._train(_light(pictures), torch.from_numpy(np.searchsorted(self.classes, labels)))

    def probabilities(self, pictures: Pictures) -> Real:
        """Of each class, (N, classes), averaged over the picture and its mirror image."""
        with torch.no_grad():
            return np.asarray(sum(torch.softmax(self.head(features), 1) for features in self._both(pictures)) / 2)

    def features(self, pictures: Pictures) -> Real:
        """What the last layer sees, (N, 128), averaged likewise."""
        return np.asarray(sum(self._both(pictures)) / 2)

    def _both(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        x = _light(pictures)
        with torch.no_grad():
            return self.body(x - 0.4), self.body(x.flip(3) - 0.4)

    def _train(self, x: Tensor, y: Tensor) -> None:
        network, augment = nn.Sequential(self.body, self.head), Otoscopy().augment
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        batches = len(x) // BATCH
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=EPOCHS * batches)
        loss = nn.CrossEntropyLoss(label_smoothing=0.05)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x))[: batches * BATCH].view(batches, BATCH):
                optimiser.zero_grad()
                loss(network(augment(x[rows]) - 0.4), y[rows]).backward()
                optimiser.step()
                schedule.step()
        network.eval()


def _light(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures).float() / 255


def joined(image: Real, sound: Real, prior: Real) -> Real:
    """Probabilities of both, as if image and sound were independent given the class: p(c|x) p(c|w) / p(c)."""
    product = image * sound / prior
    return np.asarray(product / product.sum(1, keepdims=True))
