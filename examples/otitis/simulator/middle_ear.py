"""Sound in the middle ear: a lumped network of eardrum, ossicles, cavities and cochlea behind a lossy ear canal.

The network and its adult values are those of Kringlebotn (1988), "Network model for the human middle ear", Scand Audiol
17:75-85. All quantities are acoustic and cgs: masses in g/cm^4, compliances in cm^5/dyn, resistances in dyn s/cm^5.
Voss et al. (2012) changed the same network for static pressure and for fluid; how far each element changes here is a
modeling choice, fitted to published class means (see `calibration.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.causes import Ear, State

AIR_DENSITY = 1.14e-3
"""g/cm^3, of warm moist air."""
SPEED_OF_SOUND = 3.5e4
"""cm/s."""
CANAL_LOSS = 0.007
"""Attenuation of the ear canal at 1 kHz, Np/cm; it grows with the square root of frequency."""

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]
Element = float | Real


@dataclass(frozen=True)
class Network:
    """Elements of Kringlebotn's network; each a number or an array (P, 1) over canal pressures. Values: the adult's."""

    antrum_mass: Element = 1e-3
    antrum_compliance: Element = 3.9e-6
    antrum_loss: Element = 60.0
    tympanum_compliance: Element = 0.4e-6
    drum_mass: Element = 7.5e-3
    suspension_mass: Element = 66e-3
    suspension_compliance: Element = 0.3e-6
    suspension_loss: Element = 20.0
    rim_compliance: Element = 1.3e-6
    rim_loss: Element = 120.0
    coupling_compliance: Element = 0.38e-6
    coupling_loss: Element = 120.0
    ossicle_mass: Element = 22e-3
    ossicle_loss: Element = 20.0
    joint_compliance: Element = 0.3e-6
    joint_loss: Element = 6000.0
    cochlea_mass: Element = 46e-3
    cochlea_compliance: Element = 0.56e-6
    cochlea_loss: Element = 330.0

    def impedance(self, frequencies_hz: ArrayLike) -> Complex:
        """Acoustic impedance at the eardrum: cavities, drum and ossicular chain in series."""
        s = 2j * np.pi * np.asarray(frequencies_hz, dtype=np.complex128)

        def branch(mass: Element, compliance: Element, loss: Element) -> Complex:
            return np.asarray(s * mass + 1 / (s * compliance) + loss, dtype=np.complex128)

        antrum = branch(self.antrum_mass, self.antrum_compliance, self.antrum_loss)
        cavities = _parallel(antrum, branch(0.0, self.tympanum_compliance, 0.0))
        suspension = branch(self.suspension_mass, self.suspension_compliance, self.suspension_loss)
        drum = s * self.drum_mass + _parallel(suspension, branch(0.0, self.rim_compliance, self.rim_loss))
        cochlea = branch(self.cochlea_mass, self.cochlea_compliance, self.cochlea_loss)
        joint = branch(0.0, self.joint_compliance, self.joint_loss)
        ossicles = s * self.ossicle_mass + self.ossicle_loss + _parallel(joint, cochlea)
        chain = _parallel(branch(0.0, self.coupling_compliance, self.coupling_loss), ossicles)
        return np.asarray(cavities + drum + chain)


CHILD = Network(
    drum_mass=15e-3,
    suspension_compliance=0.24e-6,
    suspension_loss=90.0,
    rim_compliance=1.5e-6,
    coupling_loss=55.0,
    cochlea_loss=400.0,
)
"""The adult's network with six elements fitted to young children's mean absorbance, which above 2 kHz is higher, and
above 4 kHz falls faster, than the adult network's. What grows with age is each ear's own, see `causes.Ear`."""


def _parallel(a: Complex, b: Complex) -> Complex:
    return np.asarray(a * b / (a + b))


def contact(state: State) -> float:
    """How much of the eardrum fluid touches, 0 to 1.

    Small amounts do nothing, as Voss et al. (2012) found in temporal bones; the logistic is a modeling choice.
    """
    return float(1 / (1 + np.exp(-9 * (state.fill - 0.62))))


def static_compliance(ear: Ear, state: State, canal_pressures_dapa: ArrayLike) -> Real:
    """Compliance of the eardrum under static pressure across it, over that under none.

    A bell around the middle-ear pressure, a little wider on its negative side. A drum that fluid holds stays at one
    low compliance, nearly whatever the pressure: that is the flat tympanogram of effusion.
    """
    wet = contact(state)
    across = np.asarray(canal_pressures_dapa, dtype=np.float64) - state.pressure
    width = ear.pressure_width * (1 + wet) * np.where(across < 0, 1.12, 1.0)
    bell = 0.077 + 0.923 / (1 + np.abs(across / width) ** 1.8)
    return np.asarray(bell + (0.29 - bell) * 0.94 * wet)


def network(ear: Ear, state: State, canal_pressures_dapa: ArrayLike) -> Network:
    """The network of this ear in this state, elements (P, 1) over canal pressures.

    Pressure and fluid stiffen the drum's suspension, which governs low frequencies; the path that couples the drum
    directly to the cavities keeps its compliance, so that above 2 kHz pressure changes little (Voss et al. 2012). Fluid
    also loads the drum with mass, more and with more loss where it is thick (Monroy et al. 2019 find mucoid effusions
    lower than serous ones at 2.7 to 4.7 kHz), and takes the place of air in the cavities.
    """
    usual = CHILD
    g = static_compliance(ear, state, canal_pressures_dapa)[:, None]
    air = max(1 - state.fill, 0.03)
    wet, thick = contact(state), state.thickness

    drum_compliance = ear.compliance / thick * g * (1 - 0.76 * wet)
    coupling_compliance = ear.compliance / thick
    chain_compliance = ear.compliance * g**0.22
    drum_loss = ear.damping * np.sqrt(thick) * g**-0.42 * (1 + (0.52 + 2.45 * state.viscosity) * wet)
    fluid_mass = (0.008 + 0.015 * state.viscosity) * wet**2
    return Network(
        antrum_compliance=usual.antrum_compliance * ear.cavity * air,
        tympanum_compliance=usual.tympanum_compliance * ear.cavity * air,
        drum_mass=usual.drum_mass * ear.mass * thick + fluid_mass,
        suspension_mass=usual.suspension_mass * ear.mass,
        suspension_compliance=usual.suspension_compliance * drum_compliance,
        suspension_loss=usual.suspension_loss * drum_loss,
        rim_compliance=usual.rim_compliance * drum_compliance,
        rim_loss=usual.rim_loss * drum_loss,
        coupling_compliance=usual.coupling_compliance * coupling_compliance,
        coupling_loss=usual.coupling_loss * drum_loss,
        joint_compliance=usual.joint_compliance * chain_compliance,
        cochlea_compliance=usual.cochlea_compliance * chain_compliance,
    )


def through_canal(impedance: Complex, area: float, length: float, frequencies_hz: ArrayLike) -> Complex:
    """The impedance seen through `length` cm of a uniform, slightly lossy canal: the line equation."""
    frequencies = np.asarray(frequencies_hz, dtype=np.float64)
    characteristic = AIR_DENSITY * SPEED_OF_SOUND / area
    propagation = CANAL_LOSS * np.sqrt(frequencies / 1e3) + 2j * np.pi * frequencies / SPEED_OF_SOUND
    t = np.tanh(propagation * length)
    return np.asarray(characteristic * (impedance + characteristic * t) / (characteristic + impedance * t))


def energy_absorbance(impedance: Complex, area: float) -> Real:
    """A = 1 - |R|^2 = 4 Z0 Re Z / |Z + Z0|^2: the share of sound power that does not come back (Keefe et al. 1993)."""
    characteristic = AIR_DENSITY * SPEED_OF_SOUND / area
    return np.asarray(4 * characteristic * impedance.real / np.abs(impedance + characteristic) ** 2)


def impedance(ear: Ear, state: State, frequencies_hz: ArrayLike, canal_pressures_dapa: ArrayLike) -> Complex:
    """Acoustic impedance (P, F) at the probe."""
    drum = network(ear, state, canal_pressures_dapa).impedance(frequencies_hz)
    return through_canal(drum, ear.canal_area, ear.canal_length, frequencies_hz)


def absorbance(ear: Ear, state: State, frequencies_hz: ArrayLike, canal_pressures_dapa: ArrayLike) -> Real:
    """Energy absorbance (P, F) at the probe."""
    return energy_absorbance(impedance(ear, state, frequencies_hz, canal_pressures_dapa), ear.canal_area)


def admittance(ear: Ear, state: State, frequencies_hz: ArrayLike, canal_pressures_dapa: ArrayLike) -> Complex:
    """Acoustic admittance (P, F) at the probe, canal included, in mmho (1e-3 cm^5/(dyn s))."""
    return np.asarray(1e3 / impedance(ear, state, frequencies_hz, canal_pressures_dapa))
