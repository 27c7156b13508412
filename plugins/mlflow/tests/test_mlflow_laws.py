from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_mlflow import MLflow


@parametrize_with_checks([MLflow])
def test_laws(part, check):
    check(part)
