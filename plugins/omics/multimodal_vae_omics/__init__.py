"""AnnData and MuData, in and out, as a modality of multimodal-vae."""

from multimodal_vae_omics.annotated import to_anndata, to_mudata
from multimodal_vae_omics.modality import Omics
from multimodal_vae_omics.prepare import most_variable, prepare

__all__ = ["Omics", "most_variable", "prepare", "to_anndata", "to_mudata"]
