"""Electrocardiograms as a modality of multimodal-vae."""

from multimodal_vae_ecg.filters import remove_wander, resample
from multimodal_vae_ecg.modality import ECG
from multimodal_vae_ecg.recording import Record
from multimodal_vae_ecg.records import open_record

__all__ = ["ECG", "Record", "open_record", "remove_wander", "resample"]
