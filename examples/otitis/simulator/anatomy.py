"""What one ear looks like whenever one looks into it, all from its appearance seed, and where that lies in a picture.

Lengths are in the drum's own frame: the drum's rim is the unit circle, `u` points to anterior and `v` to inferior.
An anatomy is that of a right ear; the view mirrors a left one.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .camera import Light

Point = tuple[float, float]
Curve = NDArray[np.float32]
"""Points (n, 2) of a polyline."""


@dataclass(frozen=True)
class Vessel:
    """One small blood vessel of the drum."""

    curve: Curve
    width: float
    """Share of the drum's radius."""
    onset: float
    """Inflammation from which on it is filled enough to be seen."""


@dataclass(frozen=True)
class Anatomy:
    """What an ear keeps."""

    aspect: float
    """Width of the drum over its height, as seen: oblique in infants, rounder later."""
    lean: float
    """Rotation of the drum's long axis, radians."""
    outline: tuple[float, float, float, float]
    """Cosine and sine parts of the outline's second and third harmonic."""
    process: Point
    """The malleus' short (lateral) process, upper anterior."""
    umbo: Point
    bow: float
    """How far the handle curves."""
    handle: float
    """Half its width."""
    depth: float
    """Slope of the drum's cone."""
    facing: Point
    """Slope of the drum as a whole: it faces downward and forward, away from the eye."""
    clarity: float
    """How translucent the drum is by birth."""
    pearl: tuple[float, float, float]
    """Tint of the drum itself, as a factor."""
    skin: tuple[float, float, float]
    """Color of the canal's skin."""
    overhang: tuple[float, float]
    """The bony wall that hides part of the drum: its direction, radians, and how far from the center it stands."""
    canal: Point
    """Where the canal's mouth lies off the drum's center."""
    vessels: tuple[Vessel, ...]
    hairs: int
    wax: float
    """Tendency to wax, 0 to 1."""
    incus: float
    """How well the long process of the incus shows through."""
    sclerosis: tuple[float, float, float] | None
    """A chalk patch: its direction, its distance from the umbo and its length; or none."""
    texture: int
    """Seeds the fine relief."""


def anatomy(appearance_seed: int, age: float) -> Anatomy:
    """The look of an ear. Spreads are modeling choices, made by eye from the variety of published atlases.

    A person's ears have the seeds 2 n and 2 n + 1: each has its own drum, and both have the person's skin.
    """
    rng = np.random.default_rng(appearance_seed)
    person = np.random.default_rng([appearance_seed // 2, 1])

    def normal(mean: float, spread: float, reach: float = 2.0) -> float:
        return mean + spread * float(np.clip(rng.normal(), -reach, reach))

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    infancy = float(np.exp(-age / 1.5))
    # The short process stands at one o'clock in a right ear, the handle runs from there down and back to the umbo.
    process = (normal(0.23, 0.05), normal(-0.62, 0.03))
    umbo = (normal(-0.03, 0.04), normal(0.07, 0.05))
    depth = normal(0.46, 0.05)
    # The drum's flank at four to five o'clock lies square to the beam: slope of the cone and slope of the whole cancel.
    reflex = normal(0.98, 0.16)
    tilt = depth * normal(1.0, 0.11)
    pale, dark = np.array([222.0, 172.0, 146.0]), np.array([160.0, 104.0, 76.0])
    skin = dark + (pale - dark) * float(person.beta(2.6, 1.4)) + person.normal(0, 6, 3)
    warmth, lightness = normal(0.0, 0.02), normal(1.0, 0.04)
    # Chalk is a relic of earlier disease or tubes, in about 4 % of ears.
    scarred = uniform(0, 1) < 0.04
    patch = (uniform(0.3, 2.9), uniform(0.45, 0.65), uniform(0.5, 1.1))
    hairy = uniform(0, 1) < 0.12
    return Anatomy(
        aspect=normal(0.90 - 0.07 * infancy, 0.04),
        lean=normal(0.12, 0.12),
        outline=(normal(0, 0.018), normal(0, 0.018), normal(0, 0.012), normal(0, 0.012)),
        process=process,
        umbo=umbo,
        bow=normal(0.035, 0.02),
        handle=normal(0.058, 0.007),
        depth=depth,
        facing=(tilt * float(np.cos(reflex)), tilt * float(np.sin(reflex))),
        clarity=normal(1.0 - 0.2 * infancy, 0.22),
        pearl=(lightness + warmth, lightness + normal(0.0, 0.012), lightness - warmth),
        skin=(float(skin[0]), float(skin[1]), float(skin[2])),
        # It is the anterior wall that overhangs, and in most ears it hides nothing.
        overhang=(normal(0.1, 0.5), normal(1.02, 0.13)),
        canal=(normal(0.0, 0.12), normal(0.0, 0.12)),
        vessels=_vessels(rng, process, umbo),
        hairs=int(rng.integers(2, 8)) if hairy else 0,
        wax=float(rng.beta(0.5, 2.2)),
        incus=uniform(0.1, 0.75),
        sclerosis=patch if scarred else None,
        texture=int(rng.integers(2**31)),
    )


def _vessels(rng: np.random.Generator, process: Point, umbo: Point) -> tuple[Vessel, ...]:
    """Two strands along the handle, which fill first, and twigs that come in from the rim all round."""
    vessels: list[Vessel] = []
    start, end = np.array(process), np.array(umbo)
    along = end - start
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    for side, onset in ((-1.0, 0.09), (1.0, 0.18), (-1.8, 0.3)):
        t = np.linspace(-0.42, rng.uniform(0.75, 1.0), 24)
        offset = 0.055 * side + _wander(rng, 24, 0.032)
        curve = start + t[:, None] * along + offset[:, None] * across
        vessels.append(Vessel(curve.astype(np.float32), float(rng.uniform(0.014, 0.022)), onset))
    count = 17
    for index in range(count):
        angle = 2 * np.pi * (index + rng.uniform(-0.35, 0.35)) / count
        onset, width = float(rng.uniform(0.08, 0.65)), float(rng.uniform(0.007, 0.014))
        length = float(rng.uniform(0.2, 0.62))
        radius = np.linspace(1.05, 1.0 - length, 20)
        turn = angle + _wander(rng, 20, 0.13) + 0.02 * np.sin(np.linspace(0, rng.uniform(8, 16), 20))
        trunk = np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
        vessels.append(Vessel(trunk.astype(np.float32), width, onset))
        fork = int(rng.integers(5, 13))
        spread = np.linspace(0, rng.choice([-1, 1]) * rng.uniform(0.15, 0.4), 20 - fork) + turn[fork:]
        twig = np.stack([radius[fork:] * np.cos(spread), radius[fork:] * np.sin(spread)], 1)
        vessels.append(Vessel(twig.astype(np.float32), 0.7 * width, onset + 0.1))
    return tuple(vessels)


def _wander(rng: np.random.Generator, steps: int, spread: float) -> NDArray[np.float64]:
    """A smooth random walk, as vessels take."""
    walk = np.cumsum(np.cumsum(rng.normal(size=steps)))
    walk -= np.linspace(walk[0], walk[-1], steps)
    return np.asarray(spread * walk / (np.abs(walk).max() + 1e-9))


@dataclass(frozen=True)
class Glance:
    """The chance of one look into the ear. All of it is drawn whatever the state, so that states can be compared."""

    pointing: Point
    zoom: float
    roll: float
    """How far the camera is held askew, at most 25 degrees."""
    head: float
    lamp: Point
    moist: float
    wax: float
    haze: Point
    bubbles: NDArray[np.float64]
    hairs: NDArray[np.float64]
    relief: int

    @staticmethod
    def draw(rng: np.random.Generator) -> Glance:
        """Draws one look."""

        def normal(spread: float) -> float:
            return spread * float(np.clip(rng.normal(), -2, 2))

        angle = float(rng.uniform(0, 2 * np.pi))
        return Glance(
            pointing=(normal(0.14), normal(0.13)),
            zoom=float(np.exp(normal(0.10))),
            roll=normal(np.radians(12.5)),
            head=normal(np.radians(6)),
            lamp=(0.32 * float(np.cos(angle)), 0.32 * float(np.sin(angle))),
            moist=float(rng.uniform(0.55, 1.2)),
            wax=normal(0.14),
            haze=(float(rng.uniform(0, 1)), float(rng.uniform(0, 2 * np.pi))),
            bubbles=rng.uniform(size=(5, 4)),
            hairs=rng.uniform(size=(8, 4)),
            relief=int(rng.integers(2**31)),
        )


class View:
    """Where an anatomy lies on the pixels: coordinates in the drum's frame, and what is drawn by them."""

    def __init__(self, look: Anatomy, side: Literal["left", "right"], x: Light, y: Light, step: float, glance: Glance):
        """`x`, `y` are pixels' places in radii of the disc, `step` is that radius in pixels."""
        self.look, self.x, self.y, self.step = look, x, y, step
        # Children's drums are nearly as large as adults': size in the picture is the camera's distance, not age.
        size, roll = 0.77 * glance.zoom, glance.roll
        self.pixels = size * step
        """The drum's half height."""
        turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        lean = np.array([[np.cos(look.lean), np.sin(look.lean)], [-np.sin(look.lean), np.cos(look.lean)]])
        mirror = np.diag([1.0 if side == "right" else -1.0, 1.0])
        stretch = np.diag([1 / (size * look.aspect), 1 / size])
        self.to_image = turn.T @ mirror
        """Turns directions of the upright right ear into the picture's."""
        self.to_drum = lean.T @ stretch @ lean @ mirror @ turn
        self.origin = np.array(glance.pointing)
        (a, b), (c, d) = self.to_drum.tolist()
        x, y = x - glance.pointing[0], y - glance.pointing[1]
        self.u: Light = a * x + b * y
        self.v: Light = c * x + d * y
        self.r = self._outline()
        """Distance from the drum's center in units of its outline, so that 1 is the rim."""

    def around_drum(self) -> tuple[slice, slice]:
        """Rows and columns that hold the drum."""
        inside = self.r < 1.08
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def crop(self, window: tuple[slice, slice]) -> View:
        """The same view of a part of the pixels."""
        part = copy(self)
        for name in ("x", "y", "u", "v", "r"):
            setattr(part, name, np.ascontiguousarray(getattr(self, name)[window]))
        return part

    def coarse(self) -> View:
        """The same view on every second pixel of every second row, for what is smooth."""
        part = self.crop((slice(None, None, 2), slice(None, None, 2)))
        part.step, part.pixels = self.step / 2, self.pixels / 2
        return part

    def enlarge(self, planes: Light) -> Light:
        """Brings planes of the coarse view back to this one."""
        size = 2 * planes.shape[-1], 2 * planes.shape[-2]
        rows, columns = self.x.shape
        whole = [Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR) for plane in planes]
        return np.stack([np.asarray(plane)[:rows, :columns] for plane in whole])

    def _outline(self) -> Light:
        u, v = self.u, self.v
        r = np.sqrt(u * u + v * v) + 1e-6
        c, s = u / r, v / r
        c2, s2 = c * c - s * s, 2 * c * s
        c3, s3 = c * c2 - s * s2, s * c2 + c * s2
        a, b, d, e = self.look.outline
        # The rim has a notch above, where the pars flaccida fills it.
        notch = 0.06 * np.exp(-((c - 0.22) ** 2 + (s + 0.97) ** 2) * 4)
        outline: Light = r / (1 + a * c2 + b * s2 + d * c3 + e * s3 + notch)
        return outline

    def from_tip(self, tip: Point) -> Light:
        """0 at a point in the drum, 1 at the rim, straight between: a cone's coordinate."""
        cu, cv = tip
        du, dv = self.u - cu, self.v - cv
        distance = np.sqrt(du * du + dv * dv) + 1e-6
        along = (cu * du + cv * dv) / distance
        reach: Light = np.sqrt(np.maximum(along * along + 1 - cu * cu - cv * cv, 0.05)) - along
        cone: Light = distance / reach
        return cone

    def from_line(self, start: Point, end: Point, bow: float = 0.0) -> tuple[Light, Light]:
        """Distance to a slightly bent line, and how far along it."""
        au, av = end[0] - start[0], end[1] - start[1]
        length = float(np.hypot(au, av))
        du, dv = self.u - start[0], self.v - start[1]
        t = np.clip((du * au + dv * av) / length**2, 0, 1)
        bend = bow * 4 * t * (1 - t) / length
        du, dv = du - t * au + av * bend, dv - t * av - au * bend
        distance: Light = np.sqrt(du * du + dv * dv)
        return distance, t

    def from_point(self, point: Point) -> Light:
        """Distance to a point."""
        distance: Light = np.sqrt((self.u - point[0]) ** 2 + (self.v - point[1]) ** 2)
        return distance

    def edge(self, distance: Light, softness: float = 0.0) -> Light:
        """1 where a distance in drum radii is positive, 0 where negative, with an edge one pixel wide or softer."""
        covered: Light = np.clip(distance / (softness + 1.4 / self.pixels) + 0.5, 0, 1)
        return covered

    def texture(self, seed: int, cells: int) -> Light:
        """A smooth random field of about unit spread, fixed to the ear."""
        rng = np.random.default_rng(seed)
        field = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        # Cubic, so that slopes are smooth too. The corners beyond the field are outside the disc.
        (a, b), (c, d) = (self.to_drum * (cells / 5.6)).tolist()
        x0, y0 = float(self.x[0, 0]) - float(self.origin[0]), float(self.y[0, 0]) - float(self.origin[1])
        s = self.step
        place = (a / s, b / s, a * x0 + b * y0 + cells / 2, c / s, d / s, c * x0 + d * y0 + cells / 2)
        rows, columns = self.x.shape
        placed = field.transform((columns, rows), Image.Transform.AFFINE, place, Image.Resampling.BICUBIC)
        return np.asarray(placed, dtype=np.float32) * 1.35

    def strokes(self, curves: list[tuple[Curve, float, float]], in_drum: bool = True) -> Light:
        """Lines of a width (drum radii) and a strength, drawn at twice the resolution for smooth edges."""
        rows, columns = self.x.shape
        sheet = Image.new("L", (2 * columns, 2 * rows))
        pen = ImageDraw.Draw(sheet)
        back = np.linalg.inv(self.to_drum)
        corner = np.array([float(self.x[0, 0]), float(self.y[0, 0])])
        for curve, width, strength in curves:
            points = curve @ back.T + self.origin if in_drum else curve
            spots = [(float(x), float(y)) for x, y in (points - corner) * (2 * self.step)]
            wide = max(1, round(2 * width * self.pixels))
            pen.line(spots, fill=round(255 * strength), width=wide, joint="curve")
        return np.asarray(sheet.reduce(2), dtype=np.float32) / 255
