from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_nifti import NIfTI

PARTS = [
    NIfTI(size=(6, 7, 8), channels=2, width=4, rotate=1.0, erase=0.5, flip=0.5, voxel=(3.0, 2.0, 1.0)),
]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)
