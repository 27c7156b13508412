"""Whether generated samples are any use for what samples are used for: to train a classifier."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.pixels import FEWEST, PixelClassifier, balanced_accuracy
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers


@dataclass(frozen=True)
class Utility:
    """What classifiers say of held-out real samples, by what they were trained on.

    Attributes:
        labels: (N,), the true ones.
        predicted: (N,) by training set: ``"real"``, ``"synthetic"``, ``"both"``; and with a quarter of the real
            training set, by patients, ``"quarter"`` and ``"quarter and synthetic"``, if it has enough of each class.
    """

    labels: Tensor
    predicted: dict[str, Tensor]

    def accuracy(self, trained_on: str, rows: Tensor | None = None) -> float:
        """Balanced accuracy of one of them, over all samples or some rows of them."""
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
) -> Utility:
    """Train on generated samples, on real ones and on both; ask each about real patients that nobody has seen.

    The classifier works on pixels. One on features of a trained judge would bring its own knowledge, and hide what the
    samples lack.

    Args:
        train: real training samples.
        synthetic: generated samples, best as many of each class as ``train`` has.
        held_out: real samples of other patients.
        classifier: what is trained; quadratic discrimination after principal components where it is None.
        seed: of the choice of the quarter.

    Source: train on synthetic, test on real: Esteban et al., *Real-valued (medical) time series generation with
        recurrent conditional GANs* (2017), section 4.

    Example:
        >>> y = torch.arange(80) % 2
        >>> draw = lambda: LabeledSamples({"x": y[:, None] * 5 + torch.randn(80, 2)}, y)
        >>> utility(draw(), draw(), draw()).accuracy("synthetic") > 0.9
        True
    """
    patients = [str(number) for number in group_numbers(train.groups, len(train))]
    part, _ = split_by_patient(patients, train.labels.tolist(), (0.25, 0.75), seed)
    quarter = train.take(part)
    sets = {"real": train, "synthetic": synthetic, "both": joined(train, synthetic)}
    counts = quarter.counts()
    if min(counts.get(label, 0) for label in train.counts()) >= FEWEST:
        sets |= {"quarter": quarter, "quarter and synthetic": joined(quarter, synthetic)}
    model = classifier or PixelClassifier()
    predicted = {
        name: model.fit(samples.values, samples.labels).predict(held_out.values) for name, samples in sets.items()
    }
    return Utility(held_out.labels, predicted)


def joined(first: LabeledSamples, second: LabeledSamples) -> LabeledSamples:
    """Two sets of samples as one, in which nobody's groups or causes are kept."""
    values = {name: torch.cat([x, second.values[name].to(x)]) for name, x in first.values.items()}
    return LabeledSamples(values, torch.cat([first.labels, second.labels]))
