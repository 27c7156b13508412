from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_otoscopy import Otoscopy

PARTS = [
    Otoscopy,
    Otoscopy(size=24, width=4, loss={"ssim": 1.0, "l1": 3.0}, erase_target=True),
    Otoscopy(width=4, network="compact", flip=0.0, rotate=0.0, erase=0.0),
    Otoscopy(size=48, width=4, network="compact", network_size=16, rotate=0.5, erase=0.0),
]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)
