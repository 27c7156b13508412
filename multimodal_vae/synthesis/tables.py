"""What a model says of samples in numbers: latents in an ``.npz``, probabilities of classes in a CSV file."""

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.distributions import Gaussian
from multimodal_vae.files import require_vacant, write_bytes
from multimodal_vae.synthesis.folder import as_table


def write_latents(path: Path, data: MultimodalDataset, posterior: Gaussian) -> None:
    """Write posteriors of samples: ``sample_id``, ``patient_id`` and ``label`` (N,), ``mean`` and ``logvar`` (N, D).

    Raises:
        RunError: if the place is taken or cannot be written.
    """
    require_vacant(path)
    content = io.BytesIO()
    np.savez(
        content,
        sample_id=np.array(data.ids),
        patient_id=np.array(data.patients),
        label=np.array(labels(data)),
        mean=posterior.mean.numpy(),
        logvar=posterior.logvar.numpy(),
    )
    write_bytes(path, content.getvalue())


def probability_table(data: MultimodalDataset, probabilities: Tensor) -> str:
    """A CSV file of ``sample_id``, ``label``, the most probable class as ``predicted``, and a column ``p(class)`` each.

    Args:
        data: N samples.
        probabilities: (N, K), in the order of its classes.
    """
    header = ["sample_id", "label", "predicted", *(f"p({name})" for name in data.classes)]
    rows = [
        [name, label, data.classes[int(row.argmax())], *(f"{float(value):.6g}" for value in row)]
        for name, label, row in zip(data.ids, labels(data), probabilities, strict=True)
    ]
    return as_table([header, *rows]).decode()


def labels(data: MultimodalDataset) -> list[str]:
    """The name of each sample's class, empty where it has none."""
    return [data.classes[label] if label >= 0 else "" for label in data.labels.tolist()]
