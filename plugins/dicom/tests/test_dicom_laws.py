from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_dicom import DICOM

PARTS = [DICOM(size=(8, 9), width=4)]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)
