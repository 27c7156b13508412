"""Draw ears of a simulated cohort on one sheet: rows NOE, OME and AOM as recorded, then as the package reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from multimodal_vae_otoscopy import Otoscopy
from simulator.camera import HEIGHT, WIDTH
from simulator.causes import CONDITIONS
from simulator.cohort import draw_cohort, sample_rng
from simulator.otoscope import cameras, render
from steps import step_parser

LARGE, SMALL = 6, 18
"""Number of pictures per row, as recorded and as read."""
SIDE = 64
"""Side of a picture as read, in pixels."""


def main(arguments: Sequence[str]) -> None:
    """Write the sheet."""
    parser = step_parser("contact_sheet", "sheet.jpg --seed 0")
    parser.add_argument("out", type=Path, help="picture to write, .jpg or .png")
    parser.add_argument("--seed", type=int, default=0, help="of the cohort (default 0)")
    given = parser.parse_args(arguments)
    visits = draw_cohort(given.seed)
    width, otoscopy = SMALL * SIDE, Otoscopy(size=SIDE)
    large: list[np.ndarray] = []
    small: list[np.ndarray] = []
    for condition in CONDITIONS:
        of = [index for index, visit in enumerate(visits) if visit.label == visit.condition == condition]
        # Evenly spaced, so that no picture is selected by hand.
        frames = []
        for index in of[:: len(of) // SMALL][:SMALL]:
            visit = visits[index]
            rng = sample_rng(given.seed, index).spawn(2)[0]
            frames.append(Image.fromarray(render(visit.state, visit.ear, cameras()[visit.camera], rng)))
        size = width // LARGE, width // LARGE * HEIGHT // WIDTH
        large.append(np.hstack([np.asarray(one.resize(size)) for one in frames[:: SMALL // LARGE]]))
        small.append(np.hstack([_as_read(one, otoscopy) for one in frames]))
    Image.fromarray(np.vstack(large + small)).save(given.out, quality=85)


def _as_read(frame: Image.Image, otoscopy: Otoscopy) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        frame.save(Path(folder) / "one.png")
        read = otoscopy.read(Path(folder) / "one.png")
    return np.rint(255 * read).astype(np.uint8).transpose(1, 2, 0)
