"""Train and generate on real recordings: MIT-BIH heart beats with their rhythm as a second modality."""

import os
from itertools import combinations
from pathlib import Path

import pytest
import torch

import multimodal_vae as mv

FOLDER = os.environ.get("MMVAE_TEST_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MMVAE_TEST_DATA is unset")


@pytest.fixture(scope="module")
def beats() -> mv.MultimodalDataset:
    import numpy as np

    with np.load(Path(str(FOLDER)) / "mitbih_beats.npz", allow_pickle=False) as arrays:
        return mv.MultimodalDataset.from_tensors(
            {"ecg": arrays["ecg"], "rhythm": arrays["rhythm"]},
            ["PVC" if label else "other" for label in arrays["y"]],
            {"ecg": mv.Signal(length=128, width=8), "rhythm": mv.Vector(size=4)},
            patients=arrays["group"].tolist(),
        )


def test_no_recording_is_on_two_sides(beats: mv.MultimodalDataset) -> None:
    sides = [set(part.patients) for part in beats.split(0.6, 0.2, 0.2, seed=0)]
    assert all(sides)
    assert not any(one & other for one, other in combinations(sides, 2))


def test_generated_beats_are_wide_where_they_should_be(beats: mv.MultimodalDataset) -> None:
    training, _, _ = beats.split(0.8, 0.0, 0.2, seed=0)
    vae = mv.MultimodalVAE(beats.modalities, beats.classes, latent_dim=16, seed=0)
    mv.fit(vae, training, epochs=2, per_class=32, learning_rate=2e-3, show=False)
    synthesizer = mv.Synthesizer(vae).fit(training)

    def width(ecg: torch.Tensor) -> float:
        """Return the width of the mean beat at half its height around the R peak, in samples; a PVC is wide."""
        around = ecg[:, 0, 32:72].mean(0).abs()
        return float((around > around.max() / 2).sum())

    for source in (lambda c: training.of_class(c).samples["ecg"], lambda c: synthesizer.sample(c, 200, seed=1)["ecg"]):
        assert width(source("PVC")) > width(source("other"))
