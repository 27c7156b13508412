"""Renders what a video otoscope sees of an ear: `render(state, ear, camera, rng)`.

The picture shows the state of the middle ear, never a label. It is built from the inside out, as layers of linear
light on the camera's pixels: the cavity behind the drum and its fluid, the drum that veils them, blood, malleus,
vessels, then the drum's relief under a lamp beside the lens, the canal's wall before it, wax and hair, and last the
camera. Light cone and glare are no sprites: they appear where the relief mirrors the lamp into the lens.

Constants are of three kinds: *measured* (means of public otoscopy images), *sign* (a clinical sign: its direction is
known, its size is ours) and choices made by eye, which have no mark.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy, Glance, Point, View, anatomy
from .camera import Camera, Light, cameras, color, develop, grid, paint, tint
from .causes import Ear, State

__all__ = ["Camera", "cameras", "render"]


PEARL = color(196, 177, 180)  # measured: center of normal drums 186, 158, 162; the promontory shines through redder
THICK = color(212, 180, 164)  # sign: a swollen drum is dull and whitish
IVORY = color(226, 203, 182)  # bone under thin skin
PROMONTORY = color(200, 150, 142)
HOLLOW = color(120, 94, 90)  # the unlit depth of an air-filled cavity
SEROUS = color(210, 158, 88)  # sign: amber
MUCOID = color(176, 152, 120)  # sign: dull gray ochre
PALE = color(180, 163, 156)  # thick fluid without color of its own
PUS = color(238, 208, 150)  # sign: creamy yellow
CHALK = color(246, 238, 226)
WAX = color(150, 90, 40)
HAIR = color(52, 34, 26)
GLARE = color(255, 250, 238)
BLOOD = np.array([0.20, 1.0, 0.98], np.float32)
"""What blood absorbs. With the amounts of `_inject`, R/G rises from the measured 1.17 to about 2."""


def render(state: State, ear: Ear, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What `camera` sees of `ear` in `state`: (480, 640, 3). All chance is from `rng`."""
    glance = Glance.draw(rng)
    x, y, _ = grid(camera)
    look = anatomy(ear.appearance_seed, ear.age)
    view = View(look, ear.side, x, y, camera.radius, glance)
    window = view.around_drum()
    drum = Drum(state, view.crop(window), glance)
    for layer in (_cavity, _fluid, _membrane, _inject, _sclerosis, _malleus, _vessels, _annulus, _illuminate):
        layer(drum)
    light = np.zeros((3, *x.shape), np.float32)
    light[:, *window] = drum.light
    _canal(light, state, view, glance)
    _hairs(light, view, glance)
    _haze(light, view, glance)
    return develop(light, camera, rng)


class Drum:
    """The drum while its layers are painted: light, height, and what several layers need to know."""

    def __init__(self, state: State, view: View, glance: Glance) -> None:
        self.state, self.view, self.glance = state, view, glance
        self.look: Anatomy = view.look
        self.light: Light = np.zeros((3, *view.x.shape), np.float32)
        self.height: Light = np.zeros_like(view.x)
        """Over the rim's plane, towards the eye, in drum radii."""
        self.wet: Light = np.zeros_like(view.x)
        """Where fluid stands against the drum."""
        self.retraction = float(np.clip((-state.pressure - 30) / 270, 0, 1))
        # Retraction pulls the umbo in, up and back. Sign: a foreshortened handle.
        (pu, pv), (uu, uv), pull = self.look.process, self.look.umbo, self.retraction
        self.process: Point = (pu + 0.02 * pull, pv + 0.03 * pull)
        self.umbo: Point = (uu - 0.15 * pull, uv - 0.27 * pull + 0.03 * state.bulge)
        self.k = view.from_tip(self.umbo)
        """0 at the umbo, 1 at the rim."""
        self.handle, self.along = view.from_line(self.process, self.umbo, self.look.bow)
        self.opacity = 0.52 * state.thickness**1.6 / self.look.clarity + state.inflammation**1.3 + 0.9 * state.bulge
        """Optical depth. Sign: opaque in all AOM and nearly all OME."""
        self.blotch = view.texture(self.look.texture, 9)
        self.grain = view.texture(self.look.texture + 2, 110)
        # The pars flaccida lies above the two folds that leave the short process.
        du = view.u - self.process[0]
        fold = self.process[1] - 0.03 - 0.16 * np.sqrt(du * du + 0.01) + 0.02 * self.blotch
        self.flaccida = _smooth(fold - view.v, -0.08, 0.16)

    def paint(self, tone: Light, weight: Light | float) -> None:
        paint(self.light, tone, weight)


def _smooth(x: Light, low: float, high: float) -> Light:
    t: Light = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _ridge(x: Light, width: float) -> Light:
    ridge: Light = np.exp(-((x / width) ** 2))
    return ridge


def _cavity(drum: Drum) -> None:
    """Air-filled: the promontory's pink hump behind and below the umbo, the incus' long process, the round window."""
    view, u, v = drum.view, drum.view.u, drum.view.v
    drum.light[:] = HOLLOW[:, None, None]
    drum.paint(PROMONTORY, np.exp(-((u + 0.22) ** 2 / 0.18 + (v - 0.30) ** 2 / 0.15)))
    drum.paint(HOLLOW * 0.5, 0.7 * _ridge(view.from_point((-0.50, 0.52)), 0.13))
    # The long process runs behind the handle, parallel to it. Retraction drapes the drum over it: it stands out.
    incus, along = view.from_line((-0.30, -0.80), (-0.36 - 0.03 * drum.retraction, -0.16), 0.02)
    drum.paint(HOLLOW * 0.6, 0.5 * _ridge(incus, 0.11))
    shown = min(1.0, drum.look.incus * (1 + 0.5 * drum.retraction))
    drum.paint(IVORY, shown * view.edge(0.036 - incus, 0.06) * _smooth(along, -0.3, 0.8))


def _fluid(drum: Drum) -> None:
    """Fluid up to its level, with a meniscus, and bubbles while there is air above it."""
    state, view, glance = drum.state, drum.view, drum.glance
    if state.fill <= 0:
        return
    thin = 1 - state.viscosity
    # Gravity takes the head's tilt. The cavity reaches a little below and above the drum.
    level = 1.04 - 2.16 * state.fill
    depth = view.v * float(np.cos(glance.head)) + view.u * float(np.sin(glance.head)) - level
    # It creeps up the malleus and the rim; glue has no flat surface at all.
    depth = depth + 0.07 * np.exp(-drum.handle / 0.09) + 0.10 * _smooth(view.r, 0.75, 1.0)
    depth = depth + 0.10 * state.viscosity * drum.blotch
    wet = view.edge(depth, 0.006 + 0.22 * state.viscosity**1.5)
    # Where a drum bulges, fluid presses against it, wherever its level would be at rest.
    pressed = min(1.0, 2.4 * state.bulge)
    wet = wet + (1 - wet) * pressed
    tone = SEROUS + (MUCOID - SEROUS) * state.viscosity
    tone = PALE + (tone - PALE) * (0.15 + 0.85 * state.stain)
    tone = tone + (PUS - tone) * state.pus
    turbid = 0.10 + 0.32 * state.stain
    turbid = turbid + (1 - turbid) * max(state.viscosity, state.pus)
    # What light reaches the promontory through amber fluid comes back amber.
    amber = 1 + (0.8 * SEROUS / SEROUS[0] - 1) * state.stain
    through = drum.light * amber.astype(np.float32)[:, None, None]
    drum.paint(tint(tone * turbid, 1 + 0.07 * turbid * drum.blotch) + through * (1 - turbid), wet)
    open_air = float(np.clip((state.fill - 0.08) / 0.12, 0, 1) * np.clip((0.92 - state.fill) / 0.12, 0, 1))
    open_air *= (1 - pressed) * (1 - 0.6 * state.pus)
    drum.paint(SEROUS * 0.25, 0.75 * open_air * thin * _ridge(depth, 0.014))
    drum.paint(IVORY * 1.2, 0.55 * open_air * thin * _ridge(depth - 0.030, 0.012))
    for chance, across, below, radius in glance.bubbles.tolist():
        # Sign: bubbles belong to thin fluid that moves, .25 to .8 full.
        shown = open_air * float(np.clip((0.8 * thin - 0.1 - chance) * 6, 0, 1))
        if shown > 0:
            size = 0.045 + 0.10 * radius**2
            chord = float(np.sqrt(max(0.1, 1 - min(abs(level), 0.9) ** 2)))
            u = (1.3 * across - 0.65) * chord
            v = level + 0.02 + 0.30 * below - u * float(np.tan(glance.head))
            distance = view.from_point((u, v))
            drum.paint(HOLLOW * 1.5, 0.5 * shown * view.edge(size - distance))
            drum.paint(SEROUS * 0.25, 0.7 * shown * _ridge(distance - size, 0.012))
            lit = np.clip((u - view.u + v - view.v) / size, 0, 1)
            drum.paint(IVORY * 1.5, 0.8 * shown * lit * _ridge(distance - 0.68 * size, 0.018))
    drum.wet = wet


def _membrane(drum: Drum) -> None:
    """Veils the cavity with the drum's own color, the more the thicker it is."""
    state, look = drum.state, drum.look
    swollen = float(np.clip(0.8 * (state.thickness - 1) + 0.9 * state.inflammation, 0, 1))
    pearl = PEARL * np.array(look.pearl, np.float32) ** 2
    own = pearl + (THICK - pearl) * swollen
    air = 0.72 * float(np.exp(-drum.opacity))
    # Fluid against the drum takes away its inner mirror: more of what is behind is seen than over air.
    fluid = float(np.exp(-0.5 * drum.opacity))
    through = air + (fluid - air) * drum.wet
    # Sign: a bulging drum is stretched thin over the pus, which shows yellow at the dome.
    dome = 0.60 * state.bulge * state.pus * _ridge(drum.k, 0.75)
    through = through + (0.88 - through) * dome * drum.wet
    # The pars flaccida has no middle layer: slack, pinker, and opaque.
    through = through * (1 - 0.6 * drum.flaccida)
    behind = drum.light
    mottled = 1 + (0.035 + 0.08 * swollen) * drum.blotch + (0.02 + 0.02 * swollen) * drum.grain
    drum.light = tint(own, mottled)
    drum.paint(PROMONTORY * 1.15, 0.40 * drum.flaccida)
    drum.paint(behind, through)


def _inject(drum: Drum) -> None:
    """Blood, first along the handle, at the rim and in the pars flaccida, then everywhere (sign)."""
    level = drum.state.inflammation
    first = np.maximum(_ridge(drum.handle, 0.17), 0.9 * np.maximum(_smooth(drum.k, 0.66, 1.02), drum.flaccida))
    everywhere = 1 + 0.22 * np.clip(drum.blotch, -2, 2)
    amount = 0.85 * level * first + 1.75 * level**1.4 * everywhere
    # The stretched dome is pale: blood is pressed out of it.
    amount = amount * (1 - 0.45 * drum.state.bulge * _ridge(drum.k, 0.7))
    drum.light *= np.exp(tint(-BLOOD, amount))


def _sclerosis(drum: Drum) -> None:
    """A horseshoe of chalk in the pars tensa."""
    if drum.look.sclerosis is None:
        return
    direction, distance, length = drum.look.sclerosis
    angle = np.arctan2(drum.view.v - drum.umbo[1], drum.view.u - drum.umbo[0])
    off = np.abs((angle - direction + np.pi) % (2 * np.pi) - np.pi)
    shape = 0.11 - np.abs(drum.k - distance) - 0.10 * np.maximum(off / length - 0.6, 0) + 0.05 * drum.blotch
    cover = (0.65 + 0.12 * drum.grain) * drum.view.edge(shape, 0.07)
    drum.paint(CHALK, np.clip(cover, 0, 0.85) * (1 - 0.6 * drum.state.inflammation))


def _malleus(drum: Drum) -> None:
    """Handle and short process: ivory through the drum, and a ridge in it. Sign: hidden by bulging and opacity."""
    state, view = drum.state, drum.view
    shown = (0.45 + 0.55 * float(np.exp(-drum.opacity))) * (1 - 0.3 * state.inflammation)
    shown *= 1 - 0.95 * min(1.0, 1.3 * state.bulge)
    # Broad at the short process, slender, then spatulate at the umbo.
    half = drum.look.handle * (1.15 - 0.55 * drum.along + 0.45 * _smooth(drum.along, 0.75, 1.0))
    shape = half - drum.handle
    drum.paint(IVORY, min(1.0, 1.1 * shown) * view.edge(shape, 0.035))
    knob = 0.085 * (1 + 0.35 * drum.retraction)
    distance = view.from_point(drum.process)
    drum.paint(IVORY * (1 + 0.25 * drum.retraction), min(1.0, 1.1 * shown) * view.edge(knob - distance, 0.05))
    relief = (1 - 0.9 * state.bulge) * (1 - 0.4 * state.inflammation) * (1 + 0.8 * drum.retraction)
    drum.height += 0.045 * relief * _smooth(shape, -0.06, 0.05)
    drum.height += 0.06 * relief * _ridge(distance, knob)
    # Folds run from the short process to the rim, sharp under retraction.
    for end, strength in (((0.66, -0.76), 0.5), ((-0.72, -0.70), 1.0)):
        fold, along = view.from_line(drum.process, end, 0.03)
        crease = _ridge(fold, 0.05) * (1 - 0.6 * along) * strength * (0.4 + drum.retraction)
        drum.height += 0.020 * relief * crease
        drum.paint(IVORY, 0.25 * shown * crease)


def _vessels(drum: Drum) -> None:
    """Fine dark-red lines that fill one after another as inflammation rises (sign), and fade under a swollen drum."""
    level = drum.state.inflammation
    curves = []
    for vessel in drum.look.vessels:
        strength = float(np.clip((level - vessel.onset) / 0.18, 0, 1))
        if strength > 0:
            width = vessel.width * (0.7 + 0.7 * level)
            curves.append((vessel.curve, 0.6 * width, 0.75 * strength))
            curves.append((vessel.curve[:11], width, strength))
    if curves:
        drum.light *= np.exp(tint(-BLOOD, (0.62 - 0.25 * level) * drum.view.strokes(curves)))


def _annulus(drum: Drum) -> None:
    """The white fibrous ring, open above, faint where skin runs over it."""
    ring = _ridge(drum.view.r - 0.962, 0.030) * _smooth(drum.view.v + 0.5 * drum.view.u, -0.9, 0.5)
    drum.paint(IVORY, (0.42 + 0.12 * drum.blotch) * ring * (1 - 0.7 * drum.state.inflammation))


def _illuminate(drum: Drum) -> None:
    """Shades the drum's relief and mirrors the lamp in it: this makes light cone, doughnut and glare."""
    state, look, view, glance, k = drum.state, drum.look, drum.view, drum.glance, drum.k
    depth = look.depth * (1 + 1.2 * drum.retraction) * (1 - 0.75 * state.bulge) - 0.0006 * max(0.0, state.pressure)
    height = drum.height - depth * (1 - 0.92 * k) + depth * 0.06 * _ridge(k, 0.12)
    # Bulging: a ring about the umbo, which the malleus holds back, like a doughnut; the upper back yields first (sign).
    lobe = 1 + 0.35 * np.clip(-0.7 * view.u - 0.7 * view.v, -1, 1)
    height = height + 0.66 * state.bulge * lobe * np.clip(1 - k * k, 0, 1) * (1 - 0.36 * _ridge(k, 0.33))
    # The slack part sinks in under suction and balloons under pus.
    height = height + 0.10 * (state.bulge - drum.retraction) * drum.flaccida
    swelling = max(0.0, state.thickness - 1)
    height = height + (0.004 + 0.006 * state.inflammation + 0.004 * swelling) * drum.blotch + 0.0003 * drum.grain
    down, across = np.gradient(height)
    # A drum that fills out faces the eye.
    tilt = ((1 - 0.3 * state.bulge) * view.to_image @ np.array(look.facing)).tolist()
    slope_x, slope_y = across * view.pixels - tilt[0], down * view.pixels - tilt[1]
    lamp_x, lamp_y = glance.lamp
    facing = (1 - lamp_x * slope_x - lamp_y * slope_y) / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    # A bulging drum is nearer to the lamp, a retracted one farther.
    drum.light *= np.clip(0.32 + 0.85 * facing, 0.12, 1.7) * (1 + 0.35 * np.clip(height, -0.8, 0.8))
    # The lamp stands beside the lens, so the mirror direction is a little off the eye's.
    off = (slope_x - 0.12 * lamp_x) ** 2 + (slope_y - 0.12 * lamp_y) ** 2
    # Sign: the cone fades on a dull, swollen drum, and over glue.
    spread = 0.075 * (1 + 0.5 * state.inflammation + 0.4 * swelling + 0.6 * state.bulge)
    strength = glance.moist * min(1.0, float(np.exp(-1.2 * (drum.opacity - 0.55)))) * (1 - 0.3 * state.inflammation)
    strength *= 1 - 0.6 * state.viscosity * min(1.0, 1.5 * state.fill)
    # A moist, tense dome keeps a window-like reflex however opaque it is.
    strength = max(strength, 0.42 * glance.moist * state.bulge)
    # The drum's outer third curves up to the rim, so the cone ends before it; fine fibres fray it.
    inner = _smooth(k + 0.05 * drum.blotch, 0.88, 0.60) * np.clip(1 + 0.10 * drum.grain, 0.5, 1.5)
    drum.light += tint(GLARE, strength * np.minimum(1.0, 1.7 * np.exp(-off / (2 * spread * spread))) * inner)


def _canal(light: Light, state: State, view: View, glance: Glance) -> None:
    """The canal's wall before the drum."""
    opening, back = _opening(view)
    # The wall shades the rim of the drum.
    light *= 1 - 0.34 * (1 - 0.8 * back) * _smooth(opening, 0.90, 1.0)
    paint(light, view.enlarge(_skin(state, view.coarse(), glance)), _wall(opening, back))


def _opening(view: View) -> tuple[Light, Light]:
    """1 where the wall starts, more on the wall; and where it is the upper back wall."""
    direction, stand = view.look.overhang
    hidden = view.from_point((float(np.cos(direction)) * (stand - 1.9), float(np.sin(direction)) * (stand - 1.9))) / 1.9
    opening = 0.5 * (view.r + hidden + np.sqrt((view.r - hidden) ** 2 + 0.004))
    return opening, _smooth((-0.75 * view.u - 0.65 * view.v) / (view.r + 0.2), -0.2, 0.9)


def _wall(opening: Light, back: Light) -> Light:
    """Above and behind, canal skin runs smoothly into the drum; below and before, they meet in a sharp dark groove."""
    return _smooth((opening - 1.0) / (0.02 + 0.12 * back) + 0.5, 0.0, 1.0)


def _skin(state: State, view: View, glance: Glance) -> Light:
    """Skin that brightens towards lamp and eye, and the wax on it."""
    look = view.look
    opening, back = _opening(view)
    # Perspective: the nearer the wall, the farther from the drum it appears, and the brighter.
    near = np.clip((opening - 1) / (view.step / view.pixels - 0.65), 0, 1.2)
    grain, patches = view.texture(look.texture + 3, 60), view.texture(look.texture + 1, 14)
    x, y = view.x - look.canal[0], view.y - look.canal[1]
    lamp_x, lamp_y = glance.lamp
    side = (x * lamp_x + y * lamp_y) / (0.32 * (np.sqrt(x * x + y * y) + 0.2))
    shade = (0.40 + 0.18 * back + 0.85 * near) * (1 + 0.55 * side * _smooth(near, 0.0, 0.5))
    relief = 0.016 * patches + 0.002 * grain

    skin = color(*look.skin)
    deep, outer = skin * np.array([1.0, 0.86, 0.86], np.float32), skin * np.array([1.04, 1.0, 0.94], np.float32)
    tone = tint(deep, 1 - near) + tint(outer, near)
    tone *= 1 + 0.04 * grain + 0.08 * patches
    # Inflammation spreads to the deep canal a little.
    tone *= np.exp(tint(-0.5 * state.inflammation * BLOOD, 1 - np.clip(1.5 * near, 0, 1)))
    crescent = _smooth(near * (1 + side) + 0.10 * patches, 1.0, 1.9)
    moist = 0.10 * glance.moist * near

    amount = look.wax + glance.wax
    if amount > 0.5:
        lumps = view.texture(glance.relief, 11) + 0.35 * view.texture(glance.relief + 1, 26)
        reach = lumps + 2.4 * amount - 3.5 + 1.1 * _smooth(near, 0.0, 0.6) - 3.0 * (1 - _wall(opening, back))
        cover = _smooth(reach, 0.0, 0.22)
        paint(tone, WAX * 0.8, 0.93 * cover)
        relief = relief + (0.07 * np.sqrt(np.clip(reach, 0, 1.5)) + 0.008 * grain * cover)
        crescent, moist = crescent * (1 - 0.85 * cover), moist + 0.25 * cover

    down, across = np.gradient(relief)
    slope_x, slope_y = across * view.pixels, down * view.pixels
    shade *= np.clip(1 - 1.5 * (lamp_x * slope_x + lamp_y * slope_y), 0.3, 1.8)
    tone *= shade
    # The wet, bright crescent of the near wall, and glints where its bumps mirror the lamp.
    glint = moist * np.exp(-((slope_x + 0.5 * lamp_x) ** 2 + (slope_y + 0.5 * lamp_y) ** 2) / 0.02)
    tone += tint(0.55 * GLARE, crescent) + glint
    return np.asarray(tone)


def _hairs(light: Light, view: View, glance: Glance) -> None:
    """Fine hairs of the outer canal."""
    curves = []
    for angle, length, bend, lean in glance.hairs[: view.look.hairs].tolist():
        t = np.linspace(0, 1, 16)
        radius = 1.04 - (0.20 + 0.45 * length) * t
        turn = 2 * np.pi * angle + (lean - 0.5) * t + 0.9 * (bend - 0.5) * t * t
        curve = np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
        curves.append((curve.astype(np.float32), 0.011, 0.8))
    if curves:
        paint(light, HAIR, view.strokes(curves, in_drum=False))


def _haze(light: Light, view: View, glance: Glance) -> None:
    """Stray light from a bright wall or a smeared lens, in one look of eight."""
    chance, angle = glance.haze
    if chance < 0.125:
        towards = view.x * float(np.cos(angle)) + view.y * float(np.sin(angle))
        light += (0.03 + 0.8 * (0.125 - chance)) * _smooth(towards, -0.4, 1.0)
