"""The hash of a data set."""

import hashlib
from typing import Protocol

from torch import Tensor

from multimodal_vae.data.columns import SampleColumns
from multimodal_vae.data.covariates import Covariate


class Hashable(Protocol):
    """What a data set has that is hashed."""

    samples: SampleColumns
    present: Tensor
    labels: Tensor
    classes: list[str]
    ids: list[str]
    patients: list[str]
    covariate_types: list[Covariate]
    covariates: Tensor


def fingerprint_of(data: Hashable) -> str:
    """Return the SHA-256 of all samples, labels, names and covariates."""
    digest = hashlib.sha256()
    for name, column in data.samples.columns.items():
        digest.update(f"{name} {column.shape}".encode())
        for chunk in column.chunks():
            digest.update(chunk.contiguous().numpy().tobytes())
    digest.update(data.present.numpy().tobytes())
    digest.update(data.labels.numpy().tobytes())
    digest.update("\0".join([*data.classes, *data.ids, *data.patients]).encode())
    digest.update("".join(each.model_dump_json() for each in data.covariate_types).encode())
    digest.update(data.covariates.numpy().tobytes())
    return digest.hexdigest()
