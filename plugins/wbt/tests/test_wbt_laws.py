from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_wbt import WBT

PARTS = [
    WBT,
    WBT(size=(16, 24), width=4, loss={"bce": 1.0, "l1": 3.0}, erase_target=True),
    WBT(width=4, network="compact", frequency_axis="linear"),
]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)
