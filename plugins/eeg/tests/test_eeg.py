"""Files that the test writes with edfio; scipy's filters are the reference."""

import edfio
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.signal import butter, sosfiltfilt

import multimodal_vae as mv
from multimodal_vae_eeg import EEG, plain_name

RATE = 200
TIME = np.arange(30 * RATE) / RATE
MASTOIDS = {"A1": 5 * np.sin(2 * np.pi * 3 * TIME), "A2": 7 * np.cos(2 * np.pi * 4 * TIME)}


def tone(frequency, size=20.0):
    return size * np.sin(2 * np.pi * frequency * TIME)


def write(path, channels, unit="uV", rate=RATE):
    kind, signal = (edfio.Edf, edfio.EdfSignal) if path.suffix == ".edf" else (edfio.Bdf, edfio.BdfSignal)
    kind([signal(values, rate, label=name, physical_dimension=unit) for name, values in channels.items()]).write(path)
    return path


def part(channels=("C3", "C4"), **settings):
    return EEG(**{"channels": list(channels), "width": 4, "reference": "file", **settings})


@pytest.mark.parametrize("ending", ["edf", "bdf"])
def test_a_tone_in_the_band_passes_and_others_do_not(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}", {"EEG C3-REF": tone(10) + tone(80) + 50, "EEG C4-REF": tone(6)})
    read = part(seconds=10.0).read(f"{path}#t=10")
    time = TIME[::2][:1000] + 10
    np.testing.assert_allclose(read[0], 20 * np.sin(2 * np.pi * 10 * time), atol=0.3)
    np.testing.assert_allclose(read[1], 20 * np.sin(2 * np.pi * 6 * time), atol=0.3)


def test_an_epoch_is_that_of_the_whole_recording_filtered(tmp_path):
    noise = np.random.default_rng(0).normal(0, 20, (2, len(TIME)))
    path = write(tmp_path / "a.edf", {"C3": noise[0], "C4": noise[1]})
    stored = np.stack([signal.data for signal in edfio.read_edf(path).signals])
    filtered = sosfiltfilt(butter(2, (1.0, 40.0), "bandpass", fs=RATE, output="sos"), stored, axis=1)
    read = part(rate=200.0, seconds=2.0, band=(1.0, 40.0)).read(f"{path}#t=12,15")
    np.testing.assert_allclose(read, filtered[:, 12 * RATE : 14 * RATE], atol=0.01)


def test_the_notch_removes_the_mains_only(tmp_path):
    path = write(tmp_path / "a.edf", {"C3": tone(50) + tone(20, 10), "C4": tone(20, 10)})
    settings = {"rate": 200.0, "seconds": 4.0, "band": (0.5, 80.0)}
    without, given = part(**settings, notch=50).read(f"{path}#t=10"), part(**settings).read(f"{path}#t=10")
    assert given[0].std() > 12
    np.testing.assert_allclose(without[0], without[1], atol=0.1)


def test_references_and_differences(tmp_path):
    signals = {"Fp1": tone(10), "F7": tone(6, 10), **MASTOIDS}
    path = write(tmp_path / "a.edf", signals)
    cell, settings = f"{path}#t=10", {"rate": 200.0, "seconds": 2.0}
    whole = dict(zip(signals, part(signals, **settings).read(cell), strict=True))
    names = ["Fp1", "F7", "Fp1-F7"]
    difference = whole["Fp1"] - whole["F7"]
    mean = (whole["Fp1"] + whole["F7"]) / 2
    ears = (whole["A1"] + whole["A2"]) / 2
    for reference, subtracted in (("average", mean), (["A1", "A2"], ears), ("file", 0)):
        read = part(names, reference=reference, **settings).read(cell)
        expected = [whole["Fp1"] - subtracted, whole["F7"] - subtracted, difference]
        np.testing.assert_allclose(read, expected, atol=1e-3)


def test_a_difference_that_the_file_has_is_taken(tmp_path):
    path = write(tmp_path / "a.edf", {"EEG C3-A2": tone(10), "EEG C4-A1": tone(6)})
    assert part(["C3-A2", "c4-a1"]).read(path).std() > 10


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e-3), ("V", 1e-6), ("nV", 1e3)])
def test_units_become_microvolts(tmp_path, unit, factor):
    values = {"C3": tone(10), "C4": tone(6)}
    expected = part().read(write(tmp_path / "a.edf", values))
    read = part().read(write(tmp_path / "b.edf", {name: factor * x for name, x in values.items()}, unit))
    np.testing.assert_allclose(read, expected, atol=0.02)


def test_names_of_many_programs_are_the_electrodes():
    names = ("Fp1.", "EEG FP1-REF", "eeg fp1", "EEG Fp1-LE", "EEG_Fp1-AVG")
    assert {plain_name(name) for name in names} == {"fp1"}
    assert [plain_name(name) for name in ("T3", "EEG T6-Ref", "T3-T5", "Oz..")] == ["t7", "p8", "t7-p7", "oz"]


FAULTS = {
    "missing": ({"C3": tone(10), "Cz": tone(6)}, {}, "no channel 'C4' among C3, Cz; set 'channels'"),
    "twice": ({"C3": tone(10), "EEG C3-REF": tone(6), "C4": tone(6)}, {}, "several channels 'C3'"),
    "too short": ({"C3": tone(10), "C4": tone(6)}, {"seconds": 31.0}, "lasts 30 s, and 31 s are wanted"),
    "no volts": (
        {"C3": tone(10), "C4": tone(6)},
        {"unit": "degC"},
        "channel 'C3' in the unit 'degC'; convert it to uV",
    ),
    "too slow": ({"C3": tone(10), "C4": tone(6)}, {"rate": 50}, "sampled at 50 Hz, too slowly for a band up to 40 Hz"),
    "wild": ({"C3": tone(10, 9e3), "C4": tone(6)}, {}, "too much for an EEG"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_recording_that_does_not_fit_is_refused_in_one_line(tmp_path, fault):
    channels, changes, words = FAULTS[fault]
    written = {key: value for key, value in changes.items() if key != "seconds"}
    path = write(tmp_path / "a.edf", channels, **written)
    with pytest.raises(mv.DataError, match=words) as caught:
        part(seconds=changes.get("seconds", 4.0)).read(path)
    assert "\n" not in str(caught.value)


def test_a_flat_channel_is_noted_and_a_gap_refused(tmp_path):
    flat = part()
    flat.read(write(tmp_path / "a.edf", {"C3": tone(10), "C4": 1e-3 * tone(6)}))
    assert list(flat.notes) == ["channel with a standard deviation below 0.1 uV"]
    broken = tone(10)
    broken[400:420] = 9999
    with pytest.raises(mv.DataError, match=r"gap of 20 samples .* in channel 'C3' at 2 s"):
        part().read(write(tmp_path / "b.bdf", {"C3": broken, "C4": tone(6)}))


@pytest.mark.parametrize("name", ["a.edf", "a.bdf", "a.csv"])
def test_what_is_no_recording_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"0       nothing")
    with pytest.raises(mv.DataError, match=r"is damaged or no|ends in '.csv'"):
        part().read(tmp_path / name)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": ["T3", "T7"]}, "names one channel twice"),
        ({"band": (40.0, 0.5)}, "must rise"),
        ({"band": (0.5, 60.0)}, "end below half of 'rate'"),
        ({"channels": ["Cz"], "reference": "average"}, "one electrode has no average"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(mv.ConfigurationError, match=words):
        part(**settings)


def test_channels_are_drawn_under_their_names():
    modality = EEG(width=4, hidden=8)
    ax = Figure().subplots()
    modality.plot(modality.examples(1)[0], ax)
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["Fp1", "Fp2"]
    assert len(ax.lines) == 19


def test_gain_is_one_factor_per_epoch():
    x = part().examples(6)
    ratio = part(gain=0.5).augment(x) / x
    assert torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), atol=1e-5)
    assert (ratio > 1 / 1.51).all()
    assert (ratio < 1.51).all()
    assert len(ratio[:, 0, 0].unique()) == 6
