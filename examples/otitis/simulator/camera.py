"""The clinic's video otoscopes: what becomes of the light from an ear on its way to a file.

Nothing here knows of ears. Light is linear, 0 to about 1; a file holds its square root, which is near enough to the
usual tone curve and turns photon noise into noise of one strength everywhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 640, 480
Light = NDArray[np.floating]
CODES = 16384
DEFOCUS = 1.3
"""Spread of the blur of focus and movement, pixels."""


def _tone() -> NDArray[np.uint8]:
    """Gray level at every code of linear light from 0 to 2, with a shoulder instead of a hard clip."""
    tone = np.sqrt(np.arange(2 * CODES) / CODES)
    tone = np.where(tone > 0.8, 1 - 0.2 * np.exp((0.8 - tone) * 4), tone)
    return np.asarray(255 * tone + 0.5, dtype=np.uint8)


TONE = _tone()


def color(red: float, green: float, blue: float) -> Light:
    """Linear light of a color given as a file holds it."""
    return np.asarray((np.array([red, green, blue], np.float32) / 255) ** 2)


def paint(light: Light, tone: Light, weight: Light | float) -> None:
    """Covers light with a color, plane by plane, which the processor's cache holds."""
    weights = np.asarray(weight, dtype=np.float32)
    for index, value in enumerate(tone):
        light[index] += (value - light[index]) * weights


def tint(tone: Light, shade: Light) -> Light:
    """A color under a shade that differs from pixel to pixel."""
    tinted: Light = tone[:, None, None] * shade
    return tinted


@dataclass(frozen=True)
class Camera:
    """One device."""

    name: str
    balance: tuple[float, float, float]
    """Gain of red, green and blue: lamp and white balance together."""
    saturation: float
    """1 keeps colors, less grays them."""
    gain: float
    exposure_spread: float
    """How far its exposure varies between visits (log)."""
    blur: float
    """Of lens and sensor, pixels."""
    sharpening: float
    """Of the device's own processing, percent."""
    radius: float
    """Of the disc, pixels."""
    center: tuple[float, float]
    """Of the disc, pixels: column, row."""
    edge: float
    """Softness of the disc's edge, pixels."""
    vignette: float
    """Light lost at the disc's edge."""
    veil: float
    """Stray light that lifts the black, share of white."""
    noise: float
    """Gray levels."""
    quality: int
    """Of its JPEG files."""

    @property
    def square(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the square round the disc."""
        x, y = self.center
        left, top = round(x - self.radius), round(y - self.radius)
        side = round(2 * self.radius)
        return left, top, left + side, top + side


def cameras() -> tuple[Camera, ...]:
    """The clinic's four: an LED endoscope, a halogen otoscope, an old grayish one, and a clip-on for telephones."""
    return (
        Camera(
            name="led",
            balance=(1.0, 1.0, 1.02),
            saturation=1.0,
            gain=1.0,
            exposure_spread=0.17,
            blur=0.6,
            sharpening=0,
            radius=226,
            center=(322, 240),
            edge=3.0,
            vignette=0.18,
            veil=0.0,
            noise=1.6,
            quality=90,
        ),
        Camera(
            name="halogen",
            balance=(1.1, 0.99, 0.8),
            saturation=1.04,
            gain=0.9,
            exposure_spread=0.20,
            blur=0.9,
            sharpening=0,
            radius=212,
            center=(314, 243),
            edge=6.0,
            vignette=0.34,
            veil=0.0005,
            noise=2.0,
            quality=86,
        ),
        Camera(
            name="ccd",
            balance=(0.95, 1.01, 1.03),
            saturation=0.8,
            gain=1.12,
            exposure_spread=0.17,
            blur=1.5,
            sharpening=0,
            radius=219,
            center=(320, 236),
            edge=9.0,
            vignette=0.26,
            veil=0.002,
            noise=2.6,
            quality=84,
        ),
        Camera(
            name="phone",
            balance=(1.06, 1.0, 0.93),
            saturation=1.18,
            gain=0.8,
            exposure_spread=0.26,
            blur=0.8,
            sharpening=90,
            radius=231,
            center=(320, 240),
            edge=4.0,
            vignette=0.42,
            veil=0.0,
            noise=2.2,
            quality=80,
        ),
    )


def grid(camera: Camera) -> tuple[Light, Light, tuple[int, int]]:
    """Coordinates from the disc's center, in its radii, of the pixels that hold it; and the first one's column, row."""
    x, y = camera.center
    reach = camera.radius + 2 * camera.edge
    left, right = max(0, int(x - reach)), min(WIDTH, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(HEIGHT, int(y + reach) + 1)
    columns = (np.arange(left, right, dtype=np.float32) + 0.5 - x) / camera.radius
    rows = (np.arange(top, bottom, dtype=np.float32) + 0.5 - y) / camera.radius
    x_grid, y_grid = np.meshgrid(columns, rows)
    return x_grid, y_grid, (left, top)


def develop(light: Light, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The file of a camera onto whose `grid` falls `light` (3, rows, columns)."""
    x, y, (left, top) = grid(camera)
    radius = np.sqrt(x * x + y * y)
    exposure = camera.gain * float(np.exp(camera.exposure_spread * np.clip(rng.normal(), -1.8, 1.8)))
    # Automatic white balance errs by some percent.
    balance = np.array(camera.balance) * np.exp(0.05 * np.clip(rng.normal(size=3), -2, 2)) * exposure
    # Not as a matrix product, which would start threads.
    light = light * balance.astype(np.float32)[:, None, None]
    light *= camera.saturation
    light += light.mean(0) * (1 / camera.saturation - 1)
    soft = np.clip((1 - radius) * (camera.radius / (2 * camera.edge)) + 0.5, 0, 1)
    light *= soft * soft * (3 - 2 * soft) * (1 - camera.vignette * radius**2.5)
    light += np.float32(camera.veil)
    np.clip(light, 0, 1.999, out=light)
    light *= CODES
    smooth = Image.fromarray(np.ascontiguousarray(TONE.take(light.astype(np.uint16)).transpose(1, 2, 0)))
    # A box of the blur's variance: at this size none sees the difference, and it takes a third of the time.
    # A child does not hold still: no look is quite in focus.
    defocus = DEFOCUS * min(abs(rng.normal()), 2.0)
    smooth = smooth.filter(ImageFilter.BoxBlur(_box(float(np.hypot(camera.blur, defocus)))))
    if camera.sharpening:
        smooth = smooth.filter(ImageFilter.UnsharpMask(2, round(camera.sharpening), 2))
    # Color noise is the same field read elsewhere: neighbors' independence is all that shows.
    rows, columns = radius.shape
    field = rng.standard_normal((rows + 16, columns + 16), dtype=np.float32) * camera.noise
    noise = np.empty((rows, columns, 3), np.float32)
    for channel, shift in enumerate((5, 9, 13)):
        other = field[shift : shift + rows, 16 - shift : 16 - shift + columns]
        noise[..., channel] = (0.8 * field[:rows, :columns] + 0.5 * other) * soft
    noisy = np.clip(np.rint(np.asarray(smooth) + noise), 0, 255)
    frame = np.full((HEIGHT, WIDTH, 3), round(255 * camera.veil**0.5), np.uint8)
    frame[top : top + rows, left : left + columns] = noisy.astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=camera.quality)
    return np.array(Image.open(file))


def _box(sigma: float) -> float:
    """Radius of the box filter whose standard deviation is `sigma` pixels: whole pixels and a share of the next."""
    variance, whole = sigma * sigma, 0
    while (whole + 1) * (whole + 2) / 3 < variance:
        whole += 1
    squares = whole * (whole + 1) * (2 * whole + 1) / 3
    return whole + (variance * (2 * whole + 1) - squares) / (2 * ((whole + 1) ** 2 - variance))
