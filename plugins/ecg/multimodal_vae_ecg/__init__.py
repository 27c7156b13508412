"""Electrocardiograms as a modality of multimodal-vae."""

from multimodal_vae.modalities.recordings import Record, resample
from multimodal_vae_ecg.filters import remove_wander
from multimodal_vae_ecg.modality import ECG
from multimodal_vae_ecg.records import open_record

__all__ = ["ECG", "Record", "open_record", "remove_wander", "resample"]
