"""Pictures in DICOM files as a modality of multimodal-vae."""

from multimodal_vae_dicom.modality import DICOM
from multimodal_vae_dicom.picture import read_dicom

__all__ = ["DICOM", "read_dicom"]
