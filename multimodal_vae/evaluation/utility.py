"""Utility: whether generated samples help to train a classifier."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pixels import MIN_PER_CLASS, PixelClassifier, balanced_accuracy
from multimodal_vae.evaluation.samples import LabeledSamples, concatenate, group_numbers


@dataclass(frozen=True)
class Utility:
    """Predictions for held-out real samples, by training set.

    Attributes:
        labels: (N,), true labels.
        predicted: (N,) by training set: ``"real"``, ``"synthetic"`` and ``"both"``; and ``"quarter"`` (of the real
            training patients) and ``"quarter and synthetic"``, if the quarter has enough samples of each class.
    """

    labels: Tensor
    predicted: dict[str, Tensor]

    def accuracy(self, trained_on: str, rows: Tensor | None = None) -> float:
        """Return the balanced accuracy for one training set, over all samples or some rows."""
        predicted = self.predicted[trained_on]
        if rows is None:
            return balanced_accuracy(predicted, self.labels)
        return balanced_accuracy(predicted[rows], self.labels[rows])


def utility(
    train: LabeledSamples,
    synthetic: LabeledSamples,
    held_out: LabeledSamples,
    classifier: PixelClassifier | None = None,
    seed: int = 0,
    trained_on: Collection[str] | None = None,
) -> Utility:
    """Train classifiers on generated samples, on real ones and on both, and apply them to held-out patients.

    The classifier works on pixels: features of a trained judge would add knowledge that the samples lack.

    Args:
        train: real training samples.
        synthetic: generated samples, preferably as many per class as in ``train``.
        held_out: real samples of other patients.
        classifier: the classifier; None: quadratic discriminant analysis of principal components.
        seed: seed of the choice of the quarter.
        trained_on: training sets whose predictions are needed, by their names in :class:`Utility`. Default: all.

    Raises:
        DataError: if a class has too few training samples.

    Source: train on synthetic, test on real: Esteban et al., *Real-valued (medical) time series generation with
        recurrent conditional GANs* (2017), section 4.

    Example:
        >>> import torch
        >>> y = torch.arange(80) % 2
        >>> draw = lambda: LabeledSamples({"x": y[:, None] * 5 + torch.randn(80, 2)}, y)
        >>> utility(draw(), draw(), draw()).accuracy("synthetic") > 0.9
        True
    """
    patients = [str(number) for number in group_numbers(train.groups, len(train))]
    rows, _ = split_by_patient(patients, train.labels.tolist(), (0.25, 0.75), seed)
    quarter = train.take(rows)
    sets = {"real": train, "synthetic": synthetic, "both": concatenate(train, synthetic)}
    counts = quarter.counts()
    if min(counts.get(label, 0) for label in train.counts()) >= MIN_PER_CLASS:
        sets |= {"quarter": quarter, "quarter and synthetic": concatenate(quarter, synthetic)}
    model = classifier or PixelClassifier()
    try:
        predicted = {
            name: model.fit(samples.values, samples.labels).predict(held_out.values)
            for name, samples in sets.items()
            if trained_on is None or name in trained_on
        }
    except DataError as error:
        raise DataError(
            f"the training samples are too few: {error}. Add samples, or enlarge their share in [data] split"
        ) from error
    return Utility(held_out.labels, predicted)
