"""The dependence of the observation noise, measured at the end of a training."""

import torch

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import evaluating, seeded
from multimodal_vae.temperature import evenly_spaced

ROWS = 2000
"""Number of training samples whose residuals are used, at most."""


def measure_noise(vae: MultimodalVAE, data: MultimodalDataset, seed: int) -> None:
    """Measure how the residuals of training samples depend, given a draw from each sample's posterior.

    Args:
        vae: trained model, on the CPU.
        data: training samples; if there are more than :data:`ROWS`, evenly spaced ones are used.
        seed: seed of the draws.
    """
    data = data.subset(evenly_spaced(torch.arange(len(data)), ROWS).tolist())
    labels = torch.as_tensor(data.labels)
    with seeded(seed), evaluating(vae):
        latents = vae.encode(data).sample(1)[:, 0]
        for column, (name, modality) in enumerate(vae.modalities.items()):
            dependence, here = vae.dependences[column], data.present[:, column]
            if isinstance(dependence, NoiseDependence) and int(here.sum()) > 1:
                likelihood = modality.likelihood(vae.decode(latents[here], [name], data.covariates[here])[name])
                if likelihood is not None:
                    dependence.measure(likelihood, data.samples.columns[name][here.nonzero()[:, 0]], labels[here])
