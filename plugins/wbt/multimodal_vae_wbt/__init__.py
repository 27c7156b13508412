"""Wideband tympanometry as a modality of multimodal-vae."""

from multimodal_vae_wbt.modality import WBT
from multimodal_vae_wbt.sweep import Sweep, read_sweep

__all__ = ["WBT", "Sweep", "read_sweep"]
