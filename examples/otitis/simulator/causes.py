"""The causes of what a clinic sees: patients, their ears, and the state of each middle ear at each visit.

Both modalities are drawn from these causes alone. Some causes show in both (fluid, pressure, the thickness of the
drum), some mainly in the picture (inflammation, bulging, pus, color of the fluid), some only in the sound (compliance,
cavity volume).

Every quantity of a state is a quantile of its distribution in the ear's condition, at a rank given by a latent
Gaussian. The Gaussians of a patient's two ears correlate, and each drifts from visit to visit, so that ears and visits
resemble each other while each condition keeps its distribution. Distributions, tables and correlations are modeling
choices; those led by a publication name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaincinv, ndtr, ndtri

Condition = Literal["NOE", "OME", "AOM"]
Side = Literal["left", "right"]

CONDITIONS: tuple[Condition, ...] = ("NOE", "OME", "AOM")
"""No effusion, otitis media with effusion, acute otitis media."""

COUNTS: dict[str, int] = {"NOE": 537, "OME": 419, "AOM": 211}
"""Pairs with each label in Sundgaard et al. 2022 (arXiv 2202.03434)."""


@dataclass(frozen=True)
class Ear:
    """What an ear keeps over its visits."""

    side: Side
    appearance_seed: int
    """Seeds the look of the anatomy in the renderer; a person's two ears differ in the last bit alone."""
    age: float
    """Years at the first visit, 0.2 to 12."""
    compliance: float
    """Scale of the middle ear's compliances, 1 in the adult."""
    cavity: float
    """Scale of the volumes of antrum and tympanic cavity, 1 in the adult."""
    canal_area: float
    """Cross-section of the ear canal, cm^2."""
    canal_length: float
    """Probe tip to eardrum, cm."""
    pressure_width: float
    """Pressure over the drum, daPa, at which its static compliance is halved."""
    damping: float = 1.0
    """Scale of the drum's losses."""
    mass: float = 1.0
    """Scale of the moving masses of drum and ossicles."""


@dataclass(frozen=True)
class State:
    """A middle ear at one visit."""

    fill: float
    """Share of the middle ear filled with fluid, 0 to 1."""
    pressure: float
    """Middle-ear pressure over ambient, daPa."""
    viscosity: float
    """0 serous to 1 mucoid."""
    pus: float
    """0 to 1, how purulent the fluid is; mainly seen."""
    thickness: float
    """Thickness of the drum over the normal."""
    inflammation: float
    """0 to 1; mainly seen."""
    bulge: float
    """0 to 1; mainly seen."""
    stain: float = 1.0
    """How strongly thin fluid is colored, 0 as water to 1 amber; seen only."""


@dataclass(frozen=True)
class Visit:
    """One ear at one visit: what gives one sample."""

    patient_id: str
    number: int
    """1 at the first visit."""
    age: float
    """Years at this visit."""
    ear: Ear
    state: State
    condition: Condition
    """What the ear truly has."""
    label: Condition
    """What the specialist wrote down."""
    camera: int
    probe: int


LATENTS = (
    "dysfunction",
    "pressure",
    "fill",
    "viscosity",
    "thickness",
    "inflammation",
    "severity",
    "bulge",
    "pus",
    "course",
    "stain",
)
EARS_ALIKE = 0.6
"""Correlation of a latent between the two ears of a patient."""
VISITS_ALIKE = 0.7
"""Correlation of a latent between successive visits of an ear: AR(1)."""
ANATOMY_ALIKE = 0.85
"""Correlation of the logarithms of anatomical measures between the two ears: people are nearly symmetric."""

SECOND_EAR = 0.55
"""Share of patients with both ears examined."""
NUMBER_OF_VISITS = (0.62, 0.26, 0.12)

# What the other ear has, given the first: at this age effusion is bilateral more often than not.
OTHER_EAR: dict[Condition, tuple[float, float, float]] = {
    "NOE": (0.82, 0.13, 0.05),
    "OME": (0.24, 0.70, 0.06),
    "AOM": (0.33, 0.25, 0.42),
}
# What the ear has at its next visit, weeks later. After acute otitis media some 40 % of ears keep an effusion for a
# month or more (Teele et al. 1980); effusion clears slowly; recurrences are common at this age.
NEXT_VISIT: dict[Condition, tuple[float, float, float]] = {
    "NOE": (0.80, 0.14, 0.06),
    "OME": (0.27, 0.65, 0.08),
    "AOM": (0.35, 0.45, 0.20),
}
# What the specialist writes, given what the ear has: four of them agreed on all of 77 % of AOM but of only 34 % of NOE
# (Sundgaard et al. 2022, Int J Pediatr Otorhinolaryngol); the rates themselves are a modeling choice.
WRITTEN: dict[Condition, tuple[float, float, float]] = {
    "NOE": (0.96, 0.04, 0.0),
    "OME": (0.03, 0.92, 0.05),
    "AOM": (0.0, 0.10, 0.90),
}
# Median age in years: acute otitis media peaks before the third birthday, effusion at kindergarten age.
MEDIAN_AGE: dict[Condition, float] = {"NOE": 4.6, "OME": 4.2, "AOM": 3.4}
AGE_SPREAD = 0.55
YOUNGEST, OLDEST = 0.2, 12.0
MEAN_WEEKS_BETWEEN_VISITS = 5.0

PREFIX = "p"
"""Beginning of the patients' names, such as `p0012`."""

Latent = NDArray[np.float64]


def draw_visits(
    rng: np.random.Generator, counts: Mapping[str, int], cameras: int = 4, probes: int = 3, prefix: str = PREFIX
) -> list[Visit]:
    """Draws patients until each label has been written as often as `counts` says.

    A patient comes whole: if their samples would overfill a label, somebody else is drawn. What the first ear has is
    drawn in proportion to what is still missing, so that all labels fill up together and the last patients differ
    little from the first.
    """
    unknown = set(counts) - set(CONDITIONS)
    if unknown or any(count < 0 for count in counts.values()):
        raise ValueError(f"counts must give a number of samples for any of {', '.join(CONDITIONS)}, not {dict(counts)}")
    missing = {condition: counts.get(condition, 0) for condition in CONDITIONS}
    visits: list[Visit] = []
    patients = 0
    while total := sum(missing.values()):
        weights = np.array([missing[condition] for condition in CONDITIONS]) / total
        first = CONDITIONS[int(rng.choice(len(CONDITIONS), p=weights))]
        drawn = draw_patient(rng, f"{prefix}{patients + 1:04d}", first, cameras, probes)
        written = {condition: sum(visit.label == condition for visit in drawn) for condition in CONDITIONS}
        if all(written[condition] <= missing[condition] for condition in CONDITIONS):
            visits += drawn
            patients += 1
            for condition in CONDITIONS:
                missing[condition] -= written[condition]
    return visits


def draw_patient(
    rng: np.random.Generator, patient_id: str, first: Condition, cameras: int = 4, probes: int = 3
) -> list[Visit]:
    """Draws all samples of one patient, of whom one ear has the condition `first` at the first visit."""
    sides: list[Side] = ["left", "right"] if rng.random() < 0.5 else ["right", "left"]
    if rng.random() >= SECOND_EAR:
        sides = sides[:1]
    age = float(np.clip(MEDIAN_AGE[first] * np.exp(AGE_SPREAD * rng.normal()), YOUNGEST, OLDEST))
    ears = _draw_ears(rng, age, sides)
    # Camera and probe know nothing of the condition. A clinic mostly takes the same ones for a patient.
    devices = int(rng.integers(cameras)), int(rng.integers(probes))

    latents = _draw_latents(rng, len(ears))
    conditions: list[Condition] = [first]
    if len(ears) == 2:
        conditions.append(_choose(float(rng.random()), OTHER_EAR[first]))
    visits: list[Visit] = []
    for number in range(1, 2 + int(rng.choice(len(NUMBER_OF_VISITS), p=NUMBER_OF_VISITS))):
        if number > 1:
            age += rng.gamma(2.5, MEAN_WEEKS_BETWEEN_VISITS / 2.5) / 52
            innovation = _draw_latents(rng, len(ears))
            latents = VISITS_ALIKE * latents + np.sqrt(1 - VISITS_ALIKE**2) * innovation
            # The innovation, not the latent, decides the course: the condition itself already persists.
            ranks = ndtr(innovation[:, LATENTS.index("course")])
            conditions = [
                _choose(float(rank), NEXT_VISIT[condition]) for rank, condition in zip(ranks, conditions, strict=True)
            ]
            if rng.random() < 0.25:
                devices = int(rng.integers(cameras)), int(rng.integers(probes))
        for ear, condition, latent in zip(ears, conditions, latents, strict=True):
            state = _state(condition, dict(zip(LATENTS, latent.tolist(), strict=True)))
            label = _choose(float(rng.random()), WRITTEN[condition])
            visits.append(Visit(patient_id, number, min(age, OLDEST), ear, state, condition, label, *devices))
    return visits


def _draw_ears(rng: np.random.Generator, age: float, sides: list[Side]) -> list[Ear]:
    """Draws ears whose mean size and compliance grow with age, as admittance and canal volume do (De Chicchis 2000)."""
    maturity = 1 - np.exp(-age / 4)
    shared = rng.normal(size=7)
    person = int(rng.integers(2**31))
    ears = []
    for side in sides:
        own = np.sqrt(ANATOMY_ALIKE) * shared + np.sqrt(1 - ANATOMY_ALIKE) * rng.normal(size=7)
        ears.append(
            Ear(
                side=side,
                appearance_seed=2 * person + (side == "right"),
                age=age,
                compliance=float((0.62 + 0.26 * maturity) * np.exp(0.19 * own[0])),
                cavity=float((0.22 + 0.55 * maturity) * np.exp(0.25 * own[1])),
                canal_area=float((0.205 + 0.095 * maturity) * np.exp(0.10 * own[2])),
                canal_length=float((1.2 + 0.9 * maturity) * np.exp(0.10 * own[3])),
                pressure_width=float((38.5 - 9 * maturity) * np.exp(0.15 * own[4])),
                damping=float(np.exp(0.20 * own[5])),
                mass=float(np.exp(0.18 * own[6])),
            )
        )
    return ears


def _draw_latents(rng: np.random.Generator, ears: int) -> Latent:
    """Standard Gaussians (ears, latents) with correlation `EARS_ALIKE` between ears."""
    shared = rng.normal(size=len(LATENTS))
    own = rng.normal(size=(2, len(LATENTS)))[:ears]
    return np.asarray(np.sqrt(EARS_ALIKE) * shared + np.sqrt(1 - EARS_ALIKE) * own)


def _state(condition: Condition, latent: Mapping[str, float]) -> State:
    """The state at these latents: quantiles of the condition's distributions."""

    def rank(**weights: float) -> float:
        """Rank of a mixture of latents, each of unit variance and independent of the others."""
        mixed = sum(weight * latent[name] for name, weight in weights.items())
        return float(ndtr(mixed / np.sqrt(sum(weight**2 for weight in weights.values()))))

    # A poorly working Eustachian tube leaves the ear at a lower pressure and slower to drain.
    u_pressure = rank(pressure=0.8, dysfunction=-0.6)
    u_fill = rank(fill=0.9, dysfunction=0.4)
    u_viscosity = rank(viscosity=0.95, dysfunction=0.3)
    u_inflammation = rank(inflammation=1.0)
    z_thickness, z_bulge, u_pus = latent["thickness"], latent["bulge"], rank(pus=0.8, severity=0.6)
    thickness, bulge, pus, viscosity = 0.12 * z_thickness, 0.0, 0.0, 0.1
    # Some effusions are amber, some as clear as water: these the eye misses, the sound does not.
    stain = _beta(1.2, 1.1, rank(stain=1.0))

    if condition == "NOE":
        fill = 0.45 * _beta(1.2, 3.0, (u_fill - 0.86) / 0.14) if u_fill > 0.86 else 0.0
        # Strongly negative pressure is mostly dry: below -100 daPa only 15 % had fluid (Palmu et al. 2001).
        if u_pressure < 0.28:
            pressure = -_gamma(2.2, 55.0, 1 - u_pressure / 0.28)
        else:
            pressure = _normal(-8.0, 22.0, (u_pressure - 0.28) / 0.72)
        # A crying or feverish child has a red drum, with nothing behind it.
        if u_inflammation > 0.90:
            inflammation = _beta(2.5, 3.0, (u_inflammation - 0.90) / 0.10)
        else:
            inflammation = _beta(1.2, 9.0, u_inflammation / 0.90)
    elif condition == "OME":
        fill = _beta(4.8, 1.5, u_fill)
        if u_pressure < 0.60:
            pressure = -_gamma(2.4, 55.0, 1 - u_pressure / 0.60)
        else:
            pressure = _normal(-20.0, 45.0, (u_pressure - 0.60) / 0.40)
        viscosity = _beta(1.6, 1.3, u_viscosity)
        # Effusions often follow an acute infection, whose redness lingers.
        if u_inflammation > 0.90:
            inflammation = _beta(2.5, 5.0, (u_inflammation - 0.90) / 0.10)
        else:
            inflammation = _beta(1.5, 9.0, u_inflammation / 0.90)
        thickness = 0.20 + 0.20 * z_thickness
        pus = 0.3 * _beta(1.2, 6.0, u_pus)
    else:
        severity = _beta(2.2, 1.6, rank(severity=1.0))
        fill = _beta(4.0, 1.5, u_fill)
        bulge = severity + 0.15 * z_bulge
        pressure = -90 + 120 * bulge + _normal(0.0, 70.0, u_pressure)
        viscosity = _beta(2.2, 2.5, u_viscosity)
        # Marked redness is the exception, in 20 %; yellow and white are the rule (Shaikh et al. 2011).
        inflammation = 0.62 * severity + _normal(0.12, 0.14, u_inflammation)
        thickness = 0.25 * inflammation + 0.11 + 0.20 * z_thickness
        pus = 0.25 + 0.75 * _beta(2.0, 1.5, u_pus)
    return State(
        fill=float(np.clip(fill, 0, 1)),
        pressure=float(np.clip(pressure, -400, 200)),
        viscosity=float(np.clip(viscosity, 0, 1)),
        pus=float(np.clip(pus, 0, 1)),
        thickness=float(np.exp(thickness)),
        inflammation=float(np.clip(inflammation, 0, 1)),
        bulge=float(np.clip(bulge, 0, 1)),
        stain=stain,
    )


def _choose(rank: float, shares: tuple[float, float, float]) -> Condition:
    return CONDITIONS[min(int(np.searchsorted(np.cumsum(shares), rank, side="right")), len(CONDITIONS) - 1)]


def _beta(a: float, b: float, rank: float) -> float:
    return float(betaincinv(a, b, rank))


def _gamma(shape: float, scale: float, rank: float) -> float:
    return float(scale * gammaincinv(shape, rank))


def _normal(mean: float, spread: float, rank: float) -> float:
    return float(mean + spread * ndtri(rank))
