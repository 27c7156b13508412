"""The patients that cross-validation and tuning may use, and those that they may not."""

from dataclasses import dataclass
from typing import Self

from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError


@dataclass(frozen=True)
class Cohort:
    """Samples as ``mmvae train`` splits them.

    Attributes:
        known: training and validation samples, which may be used.
        train: training samples.
        validation: validation samples.
        test: test samples, which must stay unseen.
    """

    known: MultimodalDataset
    train: MultimodalDataset
    validation: MultimodalDataset
    test: MultimodalDataset

    @classmethod
    def of(cls, configuration: Configuration, data: MultimodalDataset) -> Self:
        """Split samples.

        Raises:
            ConfigurationError: if densities would be fitted on test samples.
        """
        if configuration.density.fit_on == "test":
            raise ConfigurationError('[density] fit_on is "test", whose patients must stay unseen; set it to "train"')
        train, validation, test = configuration.split(data)
        names = {*train.ids, *validation.ids}
        known = data.subset(row for row, name in enumerate(data.ids) if name in names)
        return cls(known, train, validation, test)


def for_run(configuration: Configuration) -> Configuration:
    """Return the recipe of a run that is given its splits."""
    return configuration.with_data(split="passed").model_copy(update={"tune": None})
