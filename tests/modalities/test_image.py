import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.modalities import pictures as module


def save(path, pixels, mode=None, **options):
    picture = Pillow.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)


def test_a_color_picture_is_channels_first_in_0_to_1(tmp_path, pixels):
    read = mv.Image(size=(6, 5), width=8).read(save(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(read, pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_a_gray_picture_has_one_channel(tmp_path, pixels):
    read = mv.Image(size=(6, 5), channels=1, width=8).read(save(tmp_path / "a.png", pixels[..., 0]))
    np.testing.assert_array_equal(read[0], pixels[..., 0].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_eight_bits_is_taken(tmp_path, pixels, mode, channels):
    ending = "tif" if mode == "CMYK" else "png"
    part = mv.Image(size=(6, 5), channels=channels, width=8)
    part.check(torch.as_tensor(part.read(save(tmp_path / f"a.{ending}", pixels, mode)))[None])


def test_sixteen_bits_are_scaled_or_refused_but_never_cut_off(tmp_path):
    levels = np.linspace(0, 65535, 30).astype(np.uint16).reshape(6, 5)
    path = save(tmp_path / "a.png", levels)
    try:
        read = mv.Image(size=(6, 5), channels=1, width=8).read(path)
    except mv.DataError:
        return
    np.testing.assert_allclose(read[0], levels / 65535, atol=1 / 255)


def test_a_picture_of_another_size_is_refused_by_check(tmp_path, pixels):
    part = mv.Image(size=(5, 6), width=8)
    with pytest.raises(mv.DataError, match=r"\(3, 6, 5\).*\(3, 5, 6\)"):
        part.check(torch.as_tensor(part.read(save(tmp_path / "a.png", pixels)))[None])


def test_a_picture_with_more_pixels_than_a_photograph_is_refused_unread(tmp_path, pixels, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 29)
    with pytest.raises(mv.DataError, match="5 x 6 pixels"):
        mv.Image(size=(6, 5), width=8).read(save(tmp_path / "a.png", pixels))


def test_an_array_file_is_taken_as_it_is(tmp_path):
    np.save(tmp_path / "a.npy", np.full((3, 6, 5), 0.25))
    assert (mv.Image(size=(6, 5), width=8).read(tmp_path / "a.npy") == 0.25).all()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(mv.DataError):
        mv.Image(size=(6, 5), width=8).read(tmp_path / "a.png")


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        mv.Image(size=(6, 5), width=8).read(tmp_path / "a.png")


WHOLE = io.BytesIO()
Pillow.fromarray(np.arange(30, dtype=np.uint8).reshape(6, 5)).save(WHOLE, "PNG")
PNG = WHOLE.getvalue()


def read_or_refuse(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    try:
        read = mv.Image(size=(6, 5), channels=1, width=8).read(path)
    except mv.DataError:
        return
    assert read.dtype == np.float32


@pytest.mark.parametrize("kept", range(len(PNG)))
def test_a_picture_cut_short_anywhere_is_refused_or_read(tmp_path, kept):
    read_or_refuse(tmp_path, PNG[:kept])


@settings(max_examples=300)
@given(place=st.integers(0, len(PNG) - 1), value=st.integers(0, 255))
def test_a_picture_with_any_byte_wrong_is_refused_or_read(tmp_path_factory, place, value):
    read_or_refuse(tmp_path_factory.getbasetemp(), PNG[:place] + bytes([value]) + PNG[place + 1 :])


@pytest.mark.parametrize(
    ("loss", "size", "least"), [("ssim", (10, 20), 11), ("ms_ssim", (200, 160), 161), ("ms_ssim", (64, 64), 161)]
)
def test_a_size_below_that_of_the_loss_is_refused_in_one_sentence(loss, size, least):
    with pytest.raises(mv.ConfigurationError) as caught:
        mv.Image(size=size, loss={"l1": 1.0, loss: 1.0})
    words = f"the loss '{loss}' needs at least {least} pixels per side, but the size is {size[0]} x {size[1]}"
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_of_161_has_the_multi_scale_loss():
    part = mv.Image(size=(161, 170), channels=1, width=4, loss={"ms_ssim": 1.0})
    logits, target = torch.randn(2, *part.shape, requires_grad=True), part.examples(2)
    loss = part.reconstruction_loss(logits, target)
    assert loss.shape == (2,)
    loss.sum().backward()
    assert logits.grad.isfinite().all()
