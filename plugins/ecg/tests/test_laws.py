"""The laws that every modality keeps."""

from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_ecg import ECG


@parametrize_with_checks(
    [
        ECG,
        ECG(rate=128, seconds=1, width=8),
        ECG(leads=["I", "II", "V2"], rate=90, seconds=1.3, width=8, loosen=0.5),
        ECG(leads=2, rate=64, seconds=2, width=4, qrs=0, slope=0, highpass=0, gain=0, shift=0, wander=0, loosen=0),
        ECG(rate=64, seconds=1, width=4, loss="normal"),
    ]
)
def test_laws(part, check):
    check(part)
