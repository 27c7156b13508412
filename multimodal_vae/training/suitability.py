"""Whether the settings of a training suit its data, before the first step."""

import warnings

from multimodal_vae import distributed
from multimodal_vae.data.batches import MOST_REPEATED
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, MultimodalVAEWarning, listing
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.training.settings import LEAST_PER_CLASS, Training


def check_suitable(
    vae: MultimodalVAE, data: MultimodalDataset, validation: MultimodalDataset | None, training: Training
) -> None:
    """Refuse settings that the data does not allow, and warn of those without effect.

    Args:
        vae: the model.
        data: training samples.
        validation: validation samples, if any.
        training: settings as the user gave them.

    Raises:
        ConfigurationError: if early stopping watches a metric of validation samples, and there are none.

    Warns:
        MultimodalVAEWarning: if there is one class, so that a metric loss has nothing to separate; or if batches repeat
            samples, because ``per_class`` is above the number of samples of a class.
    """
    stopping = training.early_stopping
    if stopping and validation is None and stopping.metric.startswith("validation."):
        raise ConfigurationError(
            f"early stopping watches {stopping.metric!r}, but there are no validation samples; set [data] split, such "
            "as [0.7, 0.1, 0.2], or early_stopping = false"
        )
    if distributed.rank() > 0:
        return
    if len(data.classes) == 1 and vae.objective.metric_weight:
        _warn(
            f"there is one class, {data.classes[0]!r}, so the metric loss has no effect; label the classes, or set "
            "metric_weight = 0 in [model.objective]"
        )
    per_class = training.per_class or 0
    counts = {name: int((data.labels == index).sum()) for index, name in enumerate(data.classes)}
    small = {name: count for name, count in counts.items() if count < per_class}
    refused = not all(counts.values()) or per_class * len(counts) > MOST_REPEATED
    if small and per_class > LEAST_PER_CLASS and not refused:
        _warn(
            f"per_class is {per_class}, but there are fewer training samples of "
            f"{listing([f'{name!r} ({count})' for name, count in small.items()], most=3)}, so batches repeat them; "
            f"lower it to {max(LEAST_PER_CLASS, min(small.values()))}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, MultimodalVAEWarning, stacklevel=4)
