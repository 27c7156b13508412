from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_eeg import EEG

PARTS = [EEG(channels=["C3", "C4", "Fp1-F7"], seconds=0.64, width=4, hidden=16, erase=0.5)]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)
