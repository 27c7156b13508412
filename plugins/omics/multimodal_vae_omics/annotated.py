"""Data sets as AnnData and MuData, with the names of features and the classes."""

from typing import Any

import numpy as np
import pandas

from multimodal_vae import MultimodalDataset
from multimodal_vae.checks import checked
from multimodal_vae.errors import DataError, did_you_mean


@checked
def to_anndata(data: MultimodalDataset, modality: str) -> Any:
    """Return a modality's samples as an AnnData, one observation per sample that has it.

    Features have the names of the modality's ``variables`` or ``columns``, and numbers without any. ``obs`` holds the
    label, the patient and the metadata. Make a data set of generated samples with ``from_tensors``.
    """
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    if modality not in data.modalities:
        raise DataError(f"there is no modality {modality!r}; {did_you_mean(modality, data.modalities)}")
    part = data.modalities[modality]
    if len(part.shape) != 1:
        raise DataError(f"modality {modality!r} has samples of shape {part.shape}; only vectors fit AnnData")
    own = data.subset(data.present[:, list(data.modalities).index(modality)].nonzero()[:, 0].tolist())
    values = own.samples[modality].numpy()
    names = getattr(part, "variables", None) or getattr(part, "columns", None) or map(str, range(values.shape[1]))
    label = pandas.Categorical.from_codes(own.labels.tolist(), own.classes)
    columns = {"label": label, "patient_id": own.patients, **own.metadata}
    obs = pandas.DataFrame(columns, pandas.Index(own.ids, dtype=str))
    mostly_zero = 2 * np.count_nonzero(values) < values.size
    return AnnData(csr_matrix(values) if mostly_zero else values, obs, pandas.DataFrame(index=list(names)))


@checked
def to_mudata(data: MultimodalDataset) -> Any:
    """Return all modalities of vectors as a MuData; see :func:`to_anndata`."""
    from mudata import MuData, set_options

    names = [name for name, part in data.modalities.items() if len(part.shape) == 1]
    if not names:
        raise DataError("no modality has samples that are vectors; only these fit MuData")
    with set_options(pull_on_update=False):
        annotated = MuData({name: to_anndata(data, name) for name in names})
    obs = pandas.concat([part.obs for part in annotated.mod.values()])
    annotated.obs = obs[~obs.index.duplicated()].loc[annotated.obs_names]
    return annotated
