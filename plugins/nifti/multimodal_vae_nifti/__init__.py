"""Scans in NIfTI files as a modality of multimodal-vae."""

from multimodal_vae_nifti.modality import NIfTI
from multimodal_vae_nifti.scan import Scan, read_scan

__all__ = ["NIfTI", "Scan", "read_scan"]
