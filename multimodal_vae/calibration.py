"""Calibration of one modality of a model on its training samples."""

import math

import torch
from torch import nn

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.modalities.base import Modality, needs_calibration
from multimodal_vae.temperature import ROWS, Temperature, evenly_spaced

CALIBRATION_BYTES = 1 << 28
"""Maximum bytes of training samples that calibrate a modality (256 MiB)."""


def calibrate_modality(
    modality: Modality,
    name: str,
    data: MultimodalDataset,
    encoder: nn.Module,
    decoder: nn.Module,
    temperature: nn.Module,
    decoder_dim: int,
) -> None:
    """Calibrate a modality's networks and temperature on its samples, or on evenly spaced ones.

    Args:
        modality: the modality.
        name: its name.
        data: training samples, of which up to :data:`CALIBRATION_BYTES` are used.
        encoder: its encoder.
        decoder: its decoder.
        temperature: its :class:`~multimodal_vae.temperature.Temperature`; another module if it has none.
        decoder_dim: size of the decoder's input.
    """
    rows = data.present[:, list(data.modalities).index(name)].nonzero()[:, 0]
    needed = needs_calibration(modality, encoder, decoder)
    most = max(1, min(len(rows) if needed else ROWS, CALIBRATION_BYTES // (4 * math.prod(modality.shape))))
    if len(rows) and (needed or isinstance(temperature, Temperature)):
        samples = data.samples.columns[name][evenly_spaced(rows, most)]
        with torch.no_grad():
            modality.calibrate(encoder, decoder, samples)
        if isinstance(temperature, Temperature):
            temperature.calibrate(modality, decoder, decoder_dim, samples)
