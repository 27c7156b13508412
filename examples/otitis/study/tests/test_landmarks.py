"""Landmarks are seen where a clinician would see them, and the truth about them comes from the renderer alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ears
import landmarks
from simulator import otoscope
from simulator.causes import Ear, State
from simulator.otoscope import cameras, render

EAR = Ear("right", 6, 5.0, 0.8, 0.6, 0.27, 1.8, 32.0)
HEALTHY = {
    "fill": 0.0,
    "pressure": 0.0,
    "viscosity": 0.1,
    "pus": 0.0,
    "thickness": 1.0,
    "inflammation": 0.0,
    "bulge": 0.0,
}
SERUM = {**HEALTHY, "fill": 0.5, "viscosity": 0.05}


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def is_visible(landmark: str, state: dict[str, float]) -> bool:
    camera = cameras()[0]
    picture = torch.from_numpy(ears._read_frame(render(State(**state), EAR, camera, rng())))
    frame = landmarks.changed(landmark, State(**state), EAR, camera, rng())
    other = picture if frame is None else torch.from_numpy(ears._read_frame(frame))
    return bool(landmarks.visible(picture[None], other[None]))


@pytest.mark.parametrize(
    ("landmark", "state", "expected"),
    [
        ("malleus", HEALTHY, True),
        ("malleus", {**HEALTHY, "bulge": 1.0, "inflammation": 0.6, "fill": 0.9}, False),
        ("vessels", HEALTHY, False),
        ("vessels", {**HEALTHY, "inflammation": 0.5}, True),
        ("level", SERUM, True),
        ("level", HEALTHY, False),
        ("level", {**SERUM, "fill": 1.0}, False),
        ("level", {**SERUM, "viscosity": 1.0}, False),
        ("level", {**SERUM, "bulge": 0.8}, False),
    ],
)
def test_a_landmark_is_seen_where_it_is_not_hidden(landmark: str, state: dict[str, float], expected: bool) -> None:
    assert is_visible(landmark, state) is expected


def test_only_the_landmark_changes_and_the_renderer_is_as_it_was() -> None:
    state, camera = State(**{**HEALTHY, "inflammation": 0.4}), cameras()[0]
    before = render(state, EAR, camera, rng())
    function = otoscope.anatomy
    for landmark in landmarks.LANDMARKS:
        frame = landmarks.changed(landmark, state, EAR, camera, rng())
        if frame is not None:
            # What lies well outside the drum, the picture's corners, knows nothing of it: noise has the same stream.
            assert (frame[:100, :130] == before[:100, :130]).all()
            assert (frame != before).any()
    assert otoscope.anatomy is function
    assert (render(state, EAR, camera, rng()) == before).all()


def test_a_landmark_that_no_one_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'umbo' is no landmark"):
        landmarks.changed("umbo", State(**HEALTHY), EAR, cameras()[0], rng())


def test_a_soft_disc_fades_from_one_to_nothing() -> None:
    weights = landmarks.disc(64, 0.6, 0.3)
    assert weights[32, 32] == 1
    assert weights[0].max() == 0
    assert ((weights > 0.01) & (weights < 0.99)).any()
    assert (weights == weights.flip(0)).all()
