"""AnnData and MuData, in and out, as a modality of multimodal-vae."""

from multimodal_vae_omics.annotated import to_anndata, to_mudata
from multimodal_vae_omics.modality import Omics
from multimodal_vae_omics.prepare import prepare
from multimodal_vae_omics.variable import most_variable

__all__ = ["Omics", "most_variable", "prepare", "to_anndata", "to_mudata"]
