"""Pictures of every documented format and type come out in the range of their type, or are refused in one line."""

import struct
import zlib
from collections import Counter

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


def png(path, values, color, depth=16, extra=b""):
    """Write a PNG by hand; Pillow writes no color of 16 bits."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, color, 0, 0, 0)
    content = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def transparent(*color):
    data = struct.pack(f">{len(color)}H", *color)
    return struct.pack(">I", len(data)) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))


def tiff(path, values, photometric, bits=None, signed=False, extra=()):
    """Write an uncompressed TIFF by hand, little-endian."""
    data, channels = values.tobytes(), values.shape[2] if values.ndim == 3 else 1
    tags = [(256, values.shape[1]), (257, values.shape[0]), (259, 1), (262, photometric), (273, 8), (277, channels)]
    tags += [(278, values.shape[0]), (279, len(data)), *extra]
    lists = {258: bits or values.itemsize * 8, 339: 2 if signed else 1}
    place = 8 + len(data)
    blob = b"".join(struct.pack(f"<{channels}H", *[value] * channels) for value in lists.values())
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    for number, (tag, value) in enumerate(lists.items()):
        where = place + number * 2 * channels if channels > 2 else value * (0x10001 if channels == 2 else 1)
        entries.append(struct.pack("<HHII", tag, 3, channels, where))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    start = place + len(blob)
    ending = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + data + blob + ending)
    return path


def colored(values, channels):
    """Stack gray values to a color, with opacity as the last of 2 or 4 channels."""
    opaque = np.full_like(values, np.iinfo(values.dtype).max)
    return np.dstack([values] * (channels - (channels % 2 == 0)) + [opaque] * (channels % 2 == 0))


SAME = {
    "16-bit color png": lambda folder: png(folder / "a.png", colored(DEEP, 3), 2),
    "16-bit gray png with opacity": lambda folder: png(folder / "a.png", colored(DEEP, 2), 4),
    "16-bit color png with opacity": lambda folder: png(folder / "a.png", colored(DEEP, 4), 6),
    "16-bit color tiff": lambda folder: tiff(folder / "a.tiff", colored(DEEP, 3), 2),
    "16-bit color tiff with opacity": lambda folder: tiff(folder / "a.tiff", colored(DEEP, 4), 2, extra=[(338, 2)]),
    "tiff of 0 as white": lambda folder: tiff(folder / "a.tiff", 255 - SHADES, 0),
    "16-bit tiff of 0 as white": lambda folder: tiff(folder / "a.tiff", 65535 - DEEP, 0),
    "webp": lambda folder: webp(folder / "a.webp"),
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


def webp(path):
    Image.fromarray(colored(SHADES, 3)).save(path, lossless=True)
    return path


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


def ppm(path, values):
    path.write_bytes(f"P6 {values.shape[1]} {values.shape[0]} 65535\n".encode() + values.astype(">u2").tobytes())
    return path


TWELVE = SHADES.astype(np.uint16) * 17

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
    "12 of 16 bits": (lambda folder: saved(folder / "a.png", TWELVE), "uses 12 of its 16 bits"),
    "8 of 16 bits": (lambda folder: saved(folder / "a.png", SHADES.astype(np.uint16)), "uses 8 of its 16 bits"),
    "12 of 16 bits in color": (lambda folder: png(folder / "a.png", colored(TWELVE, 3), 2), "uses 12 of its 16 bits"),
    "12 of 16 bits with opacity": (lambda folder: png(folder / "a.png", colored(TWELVE, 4), 6), "uses 12 of its 16"),
    "12 of 16 bits in gray with opacity": (lambda folder: png(folder / "a.png", colored(TWELVE, 2), 4), "uses 12 of"),
    "12 of 16 bits in a color tiff": (lambda folder: tiff(folder / "a.tiff", colored(TWELVE, 3), 2), "uses 12 of its"),
    "12 of 16 bits in a ppm": (lambda folder: ppm(folder / "a.ppm", colored(TWELVE, 3)), "uses 12 of its 16 bits"),
    "12 of 16 bits with 0 as white": (lambda folder: tiff(folder / "a.tiff", TWELVE, 0), "uses 12 of its 16 bits"),
    "8 bits with a sign": (lambda folder: tiff(folder / "a.tiff", SHADES, 1, signed=True), "with a sign"),
    "16 bits with a sign": (lambda folder: tiff(folder / "a.tiff", DEEP, 1, signed=True), "with a sign"),
    "Lab": (lambda folder: tiff(folder / "a.tiff", colored(SHADES, 3), 8), "in the color space LAB"),
    "a transparent gray of 16 bits": (
        lambda folder: png(folder / "a.png", DEEP, 0, extra=transparent(257)),
        "transparent color in another depth",
    ),
    "a transparent color of 16 bits": (
        lambda folder: png(folder / "a.png", colored(DEEP, 3), 2, extra=transparent(257, 257, 257)),
        "transparent color in another depth",
    ),
    "a transparent gray of 4 bits": (
        lambda folder: png(folder / "a.png", SHADES[:, ::2], 0, 4, transparent(15)),
        "transparent color in another depth",
    ),
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


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda x: x),
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, np.rot90),
        (7, lambda x: np.rot90(x, 2).T),
        (8, lambda x: np.rot90(x, 3)),
    ],
)
def test_a_stated_orientation_is_applied(tmp_path, ending, orientation, stored):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16], upright[8:, :16] = 255, 128
    exif = Image.Exif()
    exif[274] = orientation
    settings = {"png": {}, "jpg": {"quality": 100}, "tiff": {}, "webp": {"lossless": True}}[ending]
    image = Image.fromarray(np.ascontiguousarray(stored(upright))).convert("RGB")
    image.save(tmp_path / f"a.{ending}", exif=exif, **settings)
    np.testing.assert_allclose(read_picture(tmp_path / f"a.{ending}", "L")[..., 0], upright / 255, atol=0.02)


def gamma(value):
    data = struct.pack(">I", round(value * 100_000))
    return struct.pack(">I", 4) + b"gAMA" + data + struct.pack(">I", zlib.crc32(b"gAMA" + data))


NOTED = {
    "the brightest of 256 is 15": (lambda folder: saved(folder / "a.png", SHADES // 16), "less than 1/16"),
    "14 of 16 bits": (lambda folder: saved(folder / "a.png", TWELVE * 4), "uses 14 of its 16 bits"),
    "14 of 16 bits in color": (
        lambda folder: png(folder / "a.png", colored(TWELVE * 4, 4), 6),
        "uses 14 of its 16 bits",
    ),
    "13 of 16 bits, 0 as white": (lambda folder: tiff(folder / "a.tiff", TWELVE * 2, 0), "uses 13 of its 16 bits"),
    "a mask of 0 and 1": (lambda folder: saved(folder / "a.png", SHADES % 2), "less than 1/16"),
    "transparent pixels": (lambda folder: saved(folder / "a.png", np.dstack([SHADES] * 4)), "taken as black"),
    "another profile": (
        lambda folder: Image.fromarray(SHADES).save(folder / "a.png", icc_profile=b"Display P3") or folder / "a.png",
        "color profile other than sRGB",
    ),
    "CMYK": (
        lambda folder: Image.new("CMYK", (8, 6)).save(folder / "a.jpg") or folder / "a.jpg",
        "CMYK converted to RGB",
    ),
    "linear light": (lambda folder: png(folder / "a.png", SHADES, 0, 8, gamma(1)), "gamma of 1 stated"),
}


@pytest.mark.parametrize("kind", NOTED)
def test_what_is_assumed_is_noted(kind, tmp_path):
    make, words = NOTED[kind]
    image = mv.Image(size=(6, 8), channels=3, width=4)
    image.read(make(tmp_path))
    assert [words in note for note in image.notes] == [True]


@pytest.mark.parametrize("kind", SAME)
def test_nothing_else_is_noted(kind, tmp_path):
    notes = Counter()
    read_picture(SAME[kind](tmp_path), "RGB", notes)
    assert not notes


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-be"])
def test_srgb_may_be_stated(tmp_path, encoding):
    profile = b"profile " + "sRGB IEC61966-2.1".encode(encoding)
    Image.fromarray(SHADES).save(tmp_path / "a.png", icc_profile=profile)
    png(tmp_path / "b.png", SHADES, 0, 8, gamma(0.45455))
    notes = Counter()
    for name in ("a.png", "b.png"):
        read_picture(tmp_path / name, "RGB", notes)
    assert not notes
