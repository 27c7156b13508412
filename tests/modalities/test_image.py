import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
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


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(12, 10), (3, 7), (40, 9), (1, 30), (6, 5)])
def test_a_picture_of_any_size_is_resized(tmp_path, how, shape):
    part = mv.Image(size=(6, 5), width=8, resize=how)
    flat = np.full((*shape, 3), 204, np.uint8)
    read = part.read(save(tmp_path / "a.png", flat))
    assert read.shape == part.shape
    inside = read[read > 0]  # the margins of "pad" are black
    np.testing.assert_allclose(inside, 0.8, atol=1e-6)
    if how != "pad":
        assert inside.size == read.size
    assert ("image smaller than the size of samples, enlarged" in part.notes) == (min(shape) < 5)


def test_each_way_of_resizing_keeps_what_it_says():
    halves = np.zeros((8, 16, 1), np.float32)
    halves[:, 8:] = 1
    halves[:, [0, 1, 14, 15]] = 0.5  # beyond the central square
    crop, pad, stretch = (module.resize_picture(halves, (8, 8), how)[..., 0] for how in ("crop", "pad", "stretch"))
    np.testing.assert_array_equal(crop, halves[:, 4:12, 0])
    np.testing.assert_allclose(stretch[4], resized_by_pillow(halves)[4], atol=1e-6)
    assert not pad[[0, 1, 6, 7]].any()
    np.testing.assert_allclose(pad[3], stretch[3], atol=1e-6)


def resized_by_pillow(pixels):
    return np.asarray(Pillow.fromarray(pixels[..., 0]).resize((8, 8), Pillow.Resampling.LANCZOS)).clip(0, 1)


def test_the_error_about_a_wrong_size_names_the_setting(tmp_path, pixels):
    with pytest.raises(mv.DataError, match='resize it, or set resize = "crop", "pad" or "stretch"'):
        mv.Image(size=(6, 8), width=8).read(save(tmp_path / "a.png", pixels))


def test_a_long_strip_is_refused_before_resampling():
    with pytest.raises(mv.DataError, match="70000 x 1 pixels; sides of at most 65,536 are resized"):
        module.resize_picture(np.zeros((1, 70_000, 1), np.float32), (4, 4), "stretch")


@pytest.mark.parametrize("network", ["compact", "residual"])
def test_networks_of_a_smaller_size_see_means_and_are_enlarged_at_the_end(network):
    small = mv.Image(size=(16, 32), channels=1, width=4, network=network)
    large = mv.Image(size=(32, 96), channels=1, width=4, network=network, network_size=(16, 32))
    samples, latents, pairs = large.examples(2), torch.randn(2, 6), []
    for part in (small, large):
        torch.manual_seed(0)
        pairs.append((part.encoder().eval(), part.decoder(6).eval()))
    (encoder, decoder), (pooled, enlarged) = pairs
    means = samples.unflatten(2, (16, 2)).unflatten(4, (32, 3)).mean((3, 5))
    torch.testing.assert_close(pooled(samples), encoder(means))
    expected = F.interpolate(decoder(latents), (32, 96), mode="bicubic")
    torch.testing.assert_close(enlarged(latents), expected)
    assert large.reconstruction_loss(enlarged(latents), samples).shape == (2,)


def test_without_a_network_size_weights_keep_their_names():
    part = mv.Image(size=(32, 32), width=4, loss="normal")
    assert {name.split(".")[0] for name in part.encoder().state_dict()} == {"layers", "coarse"}
    assert {name.split(".")[0] for name in part.decoder(6).state_dict()} == {"0", "1", "2"}


def test_a_size_that_is_no_multiple_of_the_network_size_is_refused():
    with pytest.raises(mv.ConfigurationError, match="size 32 x 30 is no multiple of the network_size 16 x 16"):
        mv.Image(size=(32, 30), network_size=(16, 16))


@pytest.mark.parametrize("side", [128, 256])
def test_large_images_have_every_loss(side):
    losses = {"ssim": 1.0, "detail": 1.0, "l1": 1.0} | ({"ms_ssim": 1.0} if side > 160 else {})
    part = mv.Image(size=(side, side), channels=1, width=4, network_size=(32, 32), loss=losses)
    samples, decoder = part.examples(2), part.decoder(3)
    loss = part.reconstruction_loss(decoder(torch.randn(2, 3)), samples)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(x.grad.isfinite().all() for x in decoder.parameters())
    perfect = part.reconstruction_loss(torch.logit(samples, 1e-6), samples)
    assert (perfect < 1e-3).all()
