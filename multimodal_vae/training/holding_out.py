"""Validation patients, held out of the training samples where none are given."""

from multimodal_vae.data.dataset import MultimodalDataset

SHARE = 0.1
"""Share of the patients that is held out."""
MOST = 1000
"""Maximum number of patients that are held out."""
FEWEST = 40
"""Minimum number of patients of which some are held out."""


def hold_out(data: MultimodalDataset, seed: int) -> tuple[MultimodalDataset, MultimodalDataset | None]:
    """Return training and validation samples, split by patient and stratified by class.

    Nobody is held out, and the second is None, if there are fewer than :data:`FEWEST` patients, or if a modality would
    have no training sample.

    Args:
        data: training samples.
        seed: seed of the split.
    """
    patients = len({*data.patients})
    if patients < FEWEST:
        return data, None
    share = min(SHARE, MOST / patients)
    training, validation, _ = data.split(1 - share, share, 0.0, seed)
    complete = bool((training.present.any(0) | ~data.present.any(0)).all())
    return (training, validation) if complete and len(validation) else (data, None)
