"""Otoscopy images as a modality of multimodal-vae."""

from multimodal_vae_otoscopy.crop import Square, crop_square, find_square
from multimodal_vae_otoscopy.modality import Otoscopy

__all__ = ["Otoscopy", "Square", "crop_square", "find_square"]
