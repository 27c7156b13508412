"""The baseline of translations: ridge regression of one modality on all others."""

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples

PENALTIES = tuple(np.logspace(-1, 6, 15))
"""Candidates for the penalty, chosen by leave-one-out error."""


def ridge_translation(train: LabeledSamples, samples: LabeledSamples, to: str) -> Tensor:
    """Predict one modality of samples from all elements of the others, (N, *shape).

    Args:
        train: real samples to fit to.
        samples: samples whose other modalities are given.
        to: modality to predict.

    Raises:
        DataError: if there is no other modality.

    Example:
        >>> x = torch.randn(100, 3)
        >>> samples = LabeledSamples({"x": x, "y": x @ torch.randn(3, 2)}, torch.zeros(100, dtype=torch.int64))
        >>> bool((ridge_translation(samples, samples, "y") - samples.values["y"]).abs().max() < 0.1)
        True
    """
    others = [name for name in train.values if name != to]
    if not others:
        raise DataError(f"there is no modality to translate to {to!r} from")
    known, given = (
        torch.cat([each.values[name].flatten(1) for name in others], 1).double().numpy() for each in (train, samples)
    )
    target = train.values[to]
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(known, target.flatten(1).double().numpy())
    predicted = torch.from_numpy(np.asarray(model.predict(given))).to(target)
    return predicted.reshape(len(samples), *target.shape[1:])
