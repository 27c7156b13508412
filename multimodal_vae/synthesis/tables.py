"""A model's output for given samples as numbers: latents in an ``.npz``, class probabilities in a CSV file."""

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.distributions import Gaussian
from multimodal_vae.files import csv_text, write_new


def write_latents(path: Path, data: MultimodalDataset, posterior: Gaussian) -> None:
    """Write the posteriors: ``sample_id``, ``patient_id`` and ``label`` (N,), ``mean`` and ``logvar`` (N, D).

    Raises:
        RunError: if the file exists or cannot be written.
    """
    content = io.BytesIO()
    np.savez(
        content,
        sample_id=np.array(data.ids),
        patient_id=np.array(data.patients),
        label=np.array(label_names(data)),
        mean=posterior.mean.numpy(),
        logvar=posterior.logvar.numpy(),
    )
    write_new(path, content.getvalue())


def probability_table(data: MultimodalDataset, probabilities: Tensor) -> str:
    """Return a CSV table: ``sample_id``, ``label``, ``predicted`` (the most probable class), ``p(CLASS)`` per class.

    Args:
        data: N samples.
        probabilities: (N, K), in the order of the data's classes.
    """
    header = ["sample_id", "label", "predicted", *(f"p({name})" for name in data.classes)]
    rows = [
        [name, label, data.classes[int(row.argmax())], *(f"{float(value):.6g}" for value in row)]
        for name, label, row in zip(data.ids, label_names(data), probabilities, strict=True)
    ]
    return csv_text([header, *rows])


def label_names(data: MultimodalDataset) -> list[str]:
    """Return the name of each sample's class; empty for unlabeled samples."""
    return [data.classes[label] if label >= 0 else "" for label in data.labels.tolist()]
