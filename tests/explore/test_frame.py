"""A frame that draws one sample after the other gives the pictures of frames that draw one each."""

import io

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.explore.frame import SIZE, Frame, png
from multimodal_vae.synthesis.marks import NOTICE

PARTS = {
    "image": mv.Image(size=(8, 8)),
    "volume": mv.Volume(size=(8, 8, 8)),
    "signal": mv.Signal(channels=2, length=20),
    "vector": mv.Vector(size=4),
    "counts": mv.Counts(size=4),
    "categorical": mv.Categorical(categories=["a", "b"]),
    "otoscopy": mv.Modality.of("otoscopy"),
    "wbt": mv.Modality.of("wbt"),
    "ecg": mv.Modality.of("ecg"),
    "eeg": mv.Modality.of("eeg"),
}


@pytest.mark.parametrize("name", PARTS)
def test_reused_axes_leave_nothing_of_the_sample_before(name):
    part = PARTS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = part.examples(2)
    frame = Frame(part, [first, second])
    before = frame.draw(first)
    again = frame.draw(second), frame.draw(first)
    assert before.shape == (SIZE[1], SIZE[0], 3)
    np.testing.assert_array_equal(again[0], Frame(part, [first, second]).draw(second))
    np.testing.assert_array_equal(again[1], before)
    assert (again[0] != before).any()


def test_limits_hold_all_samples_so_far():
    frame = Frame(mv.Vector(size=2), [torch.tensor([1.0, 2.0])])
    small = frame.draw(torch.tensor([0.5, 0.5]))
    frame.draw(torch.tensor([-9.0, 9.0]))
    assert (frame.draw(torch.tensor([0.5, 0.5])) != small).any()
    np.testing.assert_array_equal(
        frame.draw(torch.tensor([1.0, 2.0])),
        Frame(mv.Vector(size=2), [torch.tensor([-9.0, 9.0])]).draw(torch.tensor([1.0, 2.0])),
    )


def test_a_png_says_in_its_metadata_what_it_is():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    with Pillow.open(io.BytesIO(png(pixels))) as picture:
        assert picture.text["Warning"] == NOTICE
        np.testing.assert_array_equal(np.asarray(picture), pixels)
