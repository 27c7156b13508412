"""Pictures of every documented format and type come out in the range of their type, or are refused in one line."""

import struct

import numpy as np
import pytest
from PIL import Image

import multimodal_vae as mv
from multimodal_vae.modalities import pictures
from multimodal_vae.modalities.pictures import read_picture

SHADES = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) * 5  # to 235 of 255
GRAY = SHADES[..., None] / np.float32(255)
DEEP = SHADES.astype(np.uint16) * 257


def saved(path, values, **settings):
    Image.fromarray(values, **settings).save(path)
    return path


def pgm(path, values, most):
    """Write a binary PGM by hand: big-endian words where values exceed a byte."""
    header = f"P5\n{values.shape[1]} {values.shape[0]}\n{most}\n".encode()
    path.write_bytes(header + values.astype(">u2" if most > 255 else "u1").tobytes())
    return path


SAME = {
    "png": lambda folder: saved(folder / "a.png", SHADES),
    "bmp": lambda folder: saved(folder / "a.bmp", SHADES),
    "tiff": lambda folder: saved(folder / "a.tiff", SHADES),
    "gif": lambda folder: saved(folder / "a.gif", SHADES),
    "pgm": lambda folder: pgm(folder / "a.pgm", SHADES, 255),
    "another name": lambda folder: saved(folder / "a.png", SHADES).rename(folder / "a.jpg"),
    "16-bit png": lambda folder: saved(folder / "a.png", DEEP),
    "16-bit tiff": lambda folder: saved(folder / "a.tiff", DEEP),
    "big-endian 16-bit tiff": lambda folder: saved(folder / "a.tiff", DEEP.astype(">u2")),
    "16-bit pgm": lambda folder: pgm(folder / "a.pgm", DEEP, 65535),
    "12-bit pgm": lambda folder: pgm(folder / "a.pgm", np.round(SHADES * (4095 / 255)), 4095),
    "opaque": lambda folder: saved(folder / "a.png", np.dstack([SHADES] * 3 + [np.full_like(SHADES, 255)])),
    "gray with opacity": lambda folder: saved(folder / "a.png", np.dstack([SHADES, np.full_like(SHADES, 255)])),
    "palette": lambda folder: saved(folder / "a.png", np.asarray(Image.fromarray(SHADES).convert("P"))),
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", SAME)
def test_the_range_comes_from_the_type(kind, mode, tmp_path):
    pixels = read_picture(SAME[kind](tmp_path), mode)
    assert (pixels.shape, pixels.dtype) == ((6, 8, len(mode)), np.float32)
    np.testing.assert_allclose(pixels, np.broadcast_to(GRAY, pixels.shape), atol=1 / 4095)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_pixels_show_black(mode, tmp_path):
    opacity = np.full_like(SHADES, 255)
    opacity[:3], opacity[3] = 0, 128
    white = np.full_like(SHADES, 255)
    for name, layers in {"color": np.dstack([white] * 3 + [opacity]), "gray": np.dstack([white, opacity])}.items():
        pixels = read_picture(saved(tmp_path / f"{name}.png", layers), mode)
        assert (pixels[:3] == 0).all()
        assert (pixels[4:] == 1).all()
        np.testing.assert_allclose(pixels[3], 128 / 255, atol=1 / 255)


def eps(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\n0 0 8 6 rectfill\nshowpage\n")
    return path


def two_frames(path):
    frames = [Image.fromarray(SHADES), Image.fromarray(SHADES[::-1].copy())]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


REFUSED = {
    "eps": (lambda folder: eps(folder / "a.png"), "not an image of the formats"),
    "text": (
        lambda folder: (folder / "a.png").write_text("no image") and folder / "a.png",
        "not an image of the formats",
    ),
    "empty": (lambda folder: (folder / "a.png").write_bytes(b"") or folder / "a.png", "not an image of the formats"),
    "icon": (lambda folder: Image.new("RGB", (16, 16)).save(folder / "a.ico") or folder / "a.ico", "not an image"),
    "32-bit integers": (lambda folder: saved(folder / "a.tiff", DEEP.astype(np.int32)), "32 bits"),
    "floats": (lambda folder: saved(folder / "a.tiff", SHADES.astype(np.float32)), "32 bits"),
    "12 of 16 bits": (lambda folder: saved(folder / "a.png", SHADES.astype(np.uint16) * 17), "uses 12 of its 16 bits"),
    "8 of 16 bits": (lambda folder: saved(folder / "a.png", SHADES.astype(np.uint16)), "uses 8 of its 16 bits"),
    "two frames": (lambda folder: two_frames(folder / "a.gif"), "has 2 frames"),
    "two pages": (lambda folder: two_frames(folder / "a.tiff"), "has 2 frames"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_states_no_range_or_is_no_documented_format_is_refused(kind, tmp_path):
    make, words = REFUSED[kind]
    with pytest.raises(mv.DataError, match=words):
        read_picture(make(tmp_path), "L")


def test_no_program_is_started(tmp_path, monkeypatch):
    def start(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", start)
    monkeypatch.setattr("os.system", start)
    with pytest.raises(mv.DataError):
        read_picture(eps(tmp_path / "a.png"), "RGB")


def test_a_black_picture_of_16_bits_is_black(tmp_path):
    assert (read_picture(saved(tmp_path / "a.png", np.zeros((4, 4), np.uint16)), "L") == 0).all()


def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(tmp_path):
    picture = saved(tmp_path / "a.bmp", SHADES)
    content = bytearray(picture.read_bytes())
    content[18:26] = struct.pack("<ii", 2**14, 2**14)
    picture.write_bytes(content)
    with pytest.raises(mv.DataError, match=f"too many pixels|limit is {pictures.MOST_PIXELS:,}"):
        read_picture(picture, "L")
