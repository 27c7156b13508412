"""MLflow as a logger of multimodal-vae."""

from multimodal_vae_mlflow.logger import MLflow

__all__ = ["MLflow"]
