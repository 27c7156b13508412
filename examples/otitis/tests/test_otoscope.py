"""The picture shows the state: what each cause must change, and what must change nothing."""

import io
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from simulator.causes import Ear, State
from simulator.otoscope import Camera, cameras, render

Picture = NDArray[np.float64]
NORMAL = State(fill=0.0, pressure=0.0, viscosity=0.1, pus=0.0, thickness=1.0, inflammation=0.03, bulge=0.0)
ACUTE = State(fill=0.9, pressure=20.0, viscosity=0.5, pus=0.7, thickness=1.4, inflammation=0.5, bulge=0.7)
LED = cameras()[0]


def ear(seed: int, side: Literal["left", "right"] = "right") -> Ear:
    """An ear of which only the look matters."""
    values: dict[str, Any] = {field.name: 1.0 for field in fields(Ear)}
    return Ear(**{**values, "side": side, "appearance_seed": seed, "age": 5.0})


def picture(
    state: State, seed: int = 1, chance: int = 1, side: Literal["left", "right"] = "right", camera: Camera = LED
) -> Picture:
    """The square round the disc, 64x64, as a model is given it."""
    frame = Image.fromarray(render(state, ear(seed, side), camera, np.random.default_rng(chance)))
    return np.asarray(frame.crop(camera.square).resize((64, 64), Image.Resampling.BOX), dtype=np.float64)


def red_over_green(image: Picture) -> float:
    red, green, _ = image[20:44, 20:44].mean((0, 1))
    return float(red / green)


def test_same_chance_gives_the_same_bytes() -> None:
    first, again, other = (render(ACUTE, ear(3), LED, np.random.default_rng(chance)) for chance in (5, 5, 6))
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("camera", cameras(), ids=lambda camera: camera.name)
def test_disc_on_black_in_a_small_file(camera: Camera) -> None:
    frame = render(ACUTE, ear(2), camera, np.random.default_rng(0))
    x, y = camera.center
    rows, columns = np.mgrid[:480, :640]
    radius = np.hypot(columns + 0.5 - x, rows + 0.5 - y)
    assert frame[radius > camera.radius + 3 * camera.edge + 6].max() < 30
    assert frame[radius < 0.8 * camera.radius].mean() > 60
    left, top, right, bottom = camera.square
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 480
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    assert len(file.getvalue()) < 350_000


def test_redness_rises_with_inflammation() -> None:
    ratios = [red_over_green(picture(replace(NORMAL, inflammation=level))) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert np.all(np.diff(ratios) > 0.03)
    assert ratios[0] < 1.25
    assert ratios[-1] > 1.45


def test_fluid_stains_what_lies_below_its_level() -> None:
    chances = range(4)
    dry, half = (
        np.mean([picture(replace(NORMAL, fill=fill), chance, chance) for chance in chances], 0) for fill in (0.0, 0.5)
    )
    # Amber takes the blue away.
    lost = dry[..., 2] - half[..., 2]
    assert lost[36:46, 22:42].mean() > 15
    assert lost[36:46, 22:42].mean() > 4 * abs(lost[16:26, 22:42].mean())


def test_bulging_shows_more_and_more() -> None:
    flat, *bulging = (picture(replace(ACUTE, bulge=bulge)) for bulge in (0.0, 0.3, 0.6, 1.0))
    assert np.all(np.diff([np.abs(image - flat)[14:50, 14:50].mean() for image in bulging]) > 1)


def test_suction_takes_the_light_cone_away() -> None:
    def brightest(pressure: float) -> float:
        seeds = range(4)
        states = [picture(replace(NORMAL, pressure=pressure), seed, seed) for seed in seeds]
        return float(np.mean([np.quantile(image.min(-1)[30:52, 14:50], 0.97) for image in states]))

    assert brightest(-300.0) < brightest(0.0) - 15


def test_a_left_ear_is_a_mirrored_right_one() -> None:
    """On average over looks, for chance itself is not mirrored."""
    looks = range(12)
    right = np.mean([picture(NORMAL, look, look) for look in looks], 0)
    left = np.mean([picture(NORMAL, look, look, "left") for look in looks], 0)
    assert np.abs(right - left[:, ::-1]).mean() < np.abs(right - left).mean()
    # The light cone lies to the anterior of the midline: on the picture's right in a right ear. Lamp and pointing, the
    # same in both, make either side brighter by chance; their share goes with the difference.
    shine = [image.min(-1)[34:52, 12:52] for image in (right, left)]
    to_right = [one[:, 20:].mean() - one[:, :20].mean() for one in shine]
    assert to_right[0] - to_right[1] > 4


def test_the_camera_colors_whatever_it_sees() -> None:
    for state in (NORMAL, ACUTE):
        led, halogen = (picture(state, camera=camera)[20:44, 20:44].mean((0, 1)) for camera in cameras()[:2])
        assert halogen[0] / halogen[2] > 1.1 * led[0] / led[2]
