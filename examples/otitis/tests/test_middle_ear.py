from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import middle_ear
from simulator.causes import Ear, State
from simulator.middle_ear import CHILD, Network, absorbance, admittance, energy_absorbance, through_canal
from simulator.tympanometer import FREQUENCIES

PRESSURES = np.arange(-300.0, 201.0, 10.0)
EAR = Ear("left", 0, 4.0, 0.78, 0.57, 0.27, 1.8, 33.0)
DRY = State(fill=0.0, pressure=0.0, viscosity=0.1, pus=0.0, thickness=1.0, inflammation=0.1, bulge=0.0)


def within(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high)


ears = st.builds(
    Ear,
    side=st.sampled_from(["left", "right"]),
    appearance_seed=st.just(0),
    age=within(0.2, 12),
    compliance=within(0.3, 2),
    cavity=within(0.1, 2),
    canal_area=within(0.1, 0.6),
    canal_length=within(0.8, 3),
    pressure_width=within(15, 80),
    damping=within(0.4, 2.5),
    mass=within(0.5, 2),
)
states = st.builds(
    State,
    fill=within(0, 1),
    pressure=within(-400, 200),
    viscosity=within(0, 1),
    pus=within(0, 1),
    thickness=within(0.5, 2.5),
    inflammation=within(0, 1),
    bulge=within(0, 1),
)


def test_adult_network_has_the_published_admittance_at_226_hz() -> None:
    assert abs(1e3 / Network().impedance(226.0)) == pytest.approx(0.77, abs=0.005)


def test_adult_network_absorbs_as_normal_adults_do() -> None:
    impedance = Network().impedance([226, 500, 1000, 2000, 4000])
    expected = [0.07, 0.27, 0.58, 0.56, 0.69]
    np.testing.assert_allclose(energy_absorbance(impedance, 0.43), expected, atol=0.006)


def test_low_frequencies_see_the_sum_of_compliances() -> None:
    # All else vanishes: cavities in series with the drum and with the chain, whose joint and cochlea lie in parallel.
    n = Network(suspension_loss=0, rim_loss=0, coupling_loss=0, joint_loss=0, cochlea_loss=0, ossicle_loss=0)
    cavities = 3.9e-6 + 0.4e-6
    drum = 0.3e-6 + 1.3e-6
    chain = 0.38e-6 + 0.3e-6 + 0.56e-6
    compliance = 1 / (1 / cavities + 1 / drum + 1 / chain)
    frequency = 1.0
    assert (1 / n.impedance(frequency)).imag == pytest.approx(2 * np.pi * frequency * compliance, rel=1e-4)


def test_absorbance_is_one_minus_reflectance() -> None:
    impedance = np.array([120 - 300j, 133.0, 10 + 1000j])
    characteristic = middle_ear.AIR_DENSITY * middle_ear.SPEED_OF_SOUND / 0.3
    reflectance = (impedance - characteristic) / (impedance + characteristic)
    np.testing.assert_allclose(energy_absorbance(impedance, 0.3), 1 - np.abs(reflectance) ** 2)


def test_lossless_uniform_canal_leaves_absorbance_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middle_ear, "CANAL_LOSS", 0.0)
    drum = CHILD.impedance(FREQUENCIES)
    probe = through_canal(drum, 0.3, 2.0, FREQUENCIES)
    assert np.abs(probe - drum).max() > 100
    np.testing.assert_allclose(energy_absorbance(probe, 0.3), energy_absorbance(drum, 0.3), atol=1e-9)


def test_losses_of_the_canal_add_little_at_low_frequencies() -> None:
    drum = CHILD.impedance(FREQUENCIES)
    added = energy_absorbance(through_canal(drum, 0.3, 2.0, FREQUENCIES), 0.3) - energy_absorbance(drum, 0.3)
    low = added[FREQUENCIES < 600]
    assert 0 < low.min() <= low.max() < 0.04


@given(ears, states)
def test_passive_network_absorbs_between_nothing_and_all(ear: Ear, state: State) -> None:
    value = absorbance(ear, state, FREQUENCIES, PRESSURES[::5])
    assert value.shape == (11, 107)
    assert value.min() >= 0
    assert value.max() <= 1


@given(ears, within(-250, 150))
def test_tympanogram_peaks_at_the_middle_ear_pressure(ear: Ear, pressure: float) -> None:
    state = dataclasses.replace(DRY, pressure=pressure)
    axis = np.arange(-300.0, 201.0, 2.0)
    curve = np.abs(admittance(ear, state, [226.0], axis))[:, 0]
    assert axis[np.argmax(curve)] == pytest.approx(pressure, abs=2.0)


def test_ridge_lies_between_800_hz_and_4_khz_and_low_frequencies_fall_to_both_sides() -> None:
    state = dataclasses.replace(DRY, pressure=-60.0)
    frequencies = np.geomspace(226, 4000, 50)
    value = absorbance(EAR, state, frequencies, np.array([-260.0, -60.0, 140.0]))
    assert value[1][frequencies > 1000].mean() > 0.6
    low = (frequencies > 400) & (frequencies < 1200)
    assert (value[1][low] > 1.5 * value[0][low]).all()
    assert (value[1][low] > 1.5 * value[2][low]).all()


def test_fluid_flattens_the_tympanogram_and_lowers_absorbance() -> None:
    spans, levels = [], []
    for fill in np.linspace(0, 1, 11):
        value = absorbance(EAR, dataclasses.replace(DRY, fill=fill), [700.0, 1000.0, 1400.0], PRESSURES)
        spans.append(np.ptp(value, axis=0).mean())
        levels.append(value.max(0).mean())
    # Small amounts do nothing yet.
    assert abs(spans[2] - spans[0]) < 0.1 * spans[0]
    assert (np.diff(spans[2:]) < 0).all()
    assert (np.diff(levels[2:]) < 0).all()
    assert spans[-1] < 0.15 * spans[0]


def test_thick_fluid_absorbs_less_than_thin_above_2_khz() -> None:
    high = np.geomspace(2700, 4700, 20)
    serous, mucoid = (
        absorbance(EAR, dataclasses.replace(DRY, fill=0.7, viscosity=v), high, [0.0]).mean() for v in (0.1, 0.9)
    )
    assert mucoid < serous
