"""Electroencephalograms as a modality of multimodal-vae."""

from multimodal_vae_eeg.channels import Montage, plain_name
from multimodal_vae_eeg.modality import EEG

__all__ = ["EEG", "Montage", "plain_name"]
