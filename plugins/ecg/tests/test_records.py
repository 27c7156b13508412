"""Reading: every format, units, leads, stretches, filters against scipy, and what is wrong said in one sentence."""

import math
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from edfio import Bdf, BdfSignal, Edf, EdfSignal
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, resample_poly, sosfiltfilt

from multimodal_vae import DataError, MultimodalDataset
from multimodal_vae.modalities.recordings import parse_cell, ratio_of_rates
from multimodal_vae_ecg import ECG, open_record, remove_wander, resample
from multimodal_vae_ecg.leads import NO_UNIT
from multimodal_vae_ecg.wfdb_records import import_wfdb

wfdb = import_wfdb()
RATE, LEADS = 250, ["I", "MLII", "V2"]


def recording(seconds=12.0, rate=RATE, wander=0.4, seed=0):
    """Three leads in mV with a slow wander of their own."""
    torch.manual_seed(seed)
    signal = ECG(leads=3, rate=rate, seconds=seconds).examples(1)[0].double().numpy()
    time = np.arange(signal.shape[1]) / rate
    return signal + wander * np.sin(2 * np.pi * np.array([[0.1], [0.15], [0.2]]) * time)


def as_wfdb(path, signal, rate=RATE, leads=LEADS, unit="mV", fmt="16", gain=2000.0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wfdb 4.3 writes by what pandas 3.1 deprecates
        wfdb.wrsamp(
            path.stem,
            fs=rate,
            units=[unit] * len(leads),
            sig_name=list(leads),
            p_signal=signal.T,
            fmt=[fmt] * len(leads),
            adc_gain=[gain] * len(leads),
            baseline=[0] * len(leads),
            write_dir=str(path.parent),
        )
    return path.with_suffix("")


def as_edf(path, signal, rate=RATE, leads=LEADS, unit="mV", kind=(Edf, EdfSignal)):
    file, channel = kind
    limits = (float(signal.min()) - 0.1, float(signal.max()) + 0.1)
    limits = tuple(float(f"{each:.4f}") for each in limits)
    file(
        [
            channel(values, rate, label=f"ECG {lead}", physical_dimension=unit, physical_range=limits)
            for lead, values in zip(leads, signal, strict=True)
        ]
    ).write(path)
    return path


def as_bdf(path, signal, **changed):
    return as_edf(path, signal, kind=(Bdf, BdfSignal), **changed)


def as_csv(path, signal, rate=RATE, leads=LEADS, unit=None, times=True, digits=9):
    columns = np.vstack([np.arange(signal.shape[1]) / rate, signal] if times else [signal])
    names = [f"{lead} ({unit})" if unit else lead for lead in leads]
    lines = [",".join([*(["time_s"] if times else []), *names])]
    lines += [",".join(f"{value:.{digits}g}" for value in row) for row in columns.T]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def as_npz(path, signal, rate=RATE, leads=LEADS, unit="mV"):
    np.savez(path, signal=signal, rate=rate, leads=np.array(leads), unit=np.array(unit))
    return path


WRITERS = {"a": as_wfdb, "a.hea": as_wfdb, "a.edf": as_edf, "a.bdf": as_bdf, "a.csv": as_csv, "a.npz": as_npz}
STEP = 5e-4  # mV: what a gain of 2000 leaves, half of it by rounding, and 16 bits over a few mV


def oracle(signal, rate, wanted, first=0, cutoff=0.5):
    """The whole recording through scipy, as the documentation says, resampled so that a sample falls on the first."""
    if signal.shape[1] < 2 * rate / cutoff:
        filtered = signal - np.median(signal, axis=1, keepdims=True)
    else:
        sections = butter(2, cutoff, "highpass", fs=rate, output="sos")
        filtered = sosfiltfilt(sections, signal, axis=1, padlen=min(signal.shape[1] - 1, round(3 * rate / cutoff)))
    up, down = ratio_of_rates(rate, wanted).as_integer_ratio()
    resampled = resample_poly(filtered[:, first % down :], up, down, axis=1, padtype="line")
    return resampled[:, first // down * up :]


@pytest.mark.parametrize("name", WRITERS)
def test_reads_every_format_like_scipy_filters(tmp_path, name):
    signal, ecg = recording(), ECG(leads=LEADS, rate=100, seconds=10)
    path = WRITERS[name](tmp_path / name, signal)
    sample = ecg.read(tmp_path / name)
    assert path.exists() or name.startswith("a.h") or name == "a"
    assert sample.shape == ecg.shape == (3, 1000)
    assert sample.dtype == np.float32
    np.testing.assert_allclose(sample, oracle(signal, RATE, 100)[:, :1000], atol=STEP)
    ecg.check(torch.tensor(sample)[None])
    assert dict(ecg.notes) == ({NO_UNIT: 1} if name == "a.csv" else {})


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("unit", "factor"), [("uV", 1000.0), ("V", 0.001), ("mv", 1.0)])
def test_units_become_millivolts(tmp_path, name, unit, factor):
    signal = recording(seconds=2.0)
    if name in ("a", "a.hea"):
        as_wfdb(tmp_path / name, signal * factor, unit=unit, gain=2000 / factor)
    elif unit == "V" and name != "a.csv" and name != "a.npz":
        pytest.skip("8 characters of a header leave too few digits for volts")
    else:
        WRITERS[name](tmp_path / name, signal * factor, unit=unit)
    sample = ECG(leads=3, rate=RATE, seconds=1, highpass=0).read(tmp_path / name)
    np.testing.assert_allclose(sample, signal[:, :RATE], atol=STEP)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("unit", ["mmHg", "", "adu"])
def test_an_unknown_unit_is_refused(tmp_path, name, unit):
    if name in ("a", "a.hea", "a.csv") and not unit:
        pytest.skip("is mV by that format's own rule")
    WRITERS[name](tmp_path / name, recording(2.0), unit=unit)
    with pytest.raises(DataError, match=r"has lead '.*' in the unit"):
        ECG(rate=100, seconds=1).read(tmp_path / name)


@pytest.mark.parametrize("name", WRITERS)
def test_leads_are_taken_by_name_or_the_first_ones(tmp_path, name):
    signal = recording(2.0)
    WRITERS[name](tmp_path / name, signal)
    plain = {"rate": RATE, "seconds": 1, "highpass": 0}
    for leads, rows in ((["v2", "I"], [2, 0]), (["mlii"], [1]), (["ecg V2"], [2]), (2, [0, 1])):
        sample = ECG(leads=leads, **plain).read(tmp_path / name)
        np.testing.assert_allclose(sample, signal[rows, :RATE], atol=STEP)
    with pytest.raises(DataError, match=r"no lead 'II' among .*MLII"):
        ECG(leads=["I", "II"], **plain).read(tmp_path / name)
    with pytest.raises(DataError, match=r"has 3 leads \(.*\), and 4 are wanted"):
        ECG(leads=4, **plain).read(tmp_path / name)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("start", [0.0, 3.1, 20.0, 58.9])
def test_a_stretch_comes_out_as_if_the_whole_record_had_been_filtered(tmp_path, name, start):
    signal = recording(60.0, rate=360)
    WRITERS[name](tmp_path / name, signal, rate=360)
    sample = ECG(leads=3, rate=128, seconds=1).read(f"{tmp_path / name}#t={start},{start + 1.05}")
    np.testing.assert_allclose(sample, oracle(signal, 360, 128, round(start * 360))[:, :128], atol=STEP)


def test_wander_goes_and_the_wave_stays_where_it_is(tmp_path):
    clean, wandering = recording(30.0, wander=0.0), recording(30.0, wander=0.4)
    ecg = ECG(leads=3, rate=RATE, seconds=1)
    beats = [ecg.read(f"{as_npz(tmp_path / name, x)}#t=15") for name, x in (("a.npz", clean), ("b.npz", wandering))]
    np.testing.assert_allclose(*beats, atol=0.02)
    for ours, theirs in zip(beats[0], clean[:, 15 * RATE : 16 * RATE], strict=True):
        lags = [np.dot(ours, np.roll(theirs, lag)) for lag in range(-5, 6)]
        assert np.argmax(lags) == 5


def test_a_short_record_loses_its_median_and_nothing_else(tmp_path):
    signal = recording(1.0)
    sample = ECG(leads=3, rate=RATE, seconds=1).read(as_npz(tmp_path / "a.npz", signal))
    np.testing.assert_allclose(sample, signal - np.median(signal, axis=1, keepdims=True), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([100, 128, 200, 250, 257, 360, 500, 977.5, 1000]),
    wanted=st.sampled_from([64, 100, 125, 128, 250, 500]),
    samples=st.integers(20, 700),
    seed=st.integers(0, 10**6),
)
def test_resamples_like_scipy_to_the_exact_length(rate, wanted, samples, seed):
    signal = np.random.default_rng(seed).normal(size=(2, samples))
    ratio = ratio_of_rates(rate, wanted)
    assert abs(float(ratio) - wanted / rate) * samples < 0.01
    ours = resample(signal, ratio)
    assert ours.shape[1] == math.ceil(samples * ratio)
    np.testing.assert_allclose(ours, resample_poly(signal, *ratio.as_integer_ratio(), axis=1, padtype="line"))


def test_nothing_aliases(tmp_path):
    time = np.arange(5000) / 500
    as_npz(tmp_path / "a.npz", np.sin(2 * np.pi * 90 * time)[None], rate=500, leads=["I"])
    assert np.abs(ECG(rate=100, seconds=2).read(f"{tmp_path / 'a.npz'}#t=4")).max() < 0.001


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.floats(0.01, 100), st.integers(0, 10**6))
def test_removing_wander_is_linear_and_blind_to_an_offset(offset, factor, seed):
    signal = np.random.default_rng(seed).normal(size=(2, 1500))
    clean = remove_wander(signal, 250, 0.5)
    np.testing.assert_allclose(
        remove_wander(factor * signal + offset, 250, 0.5), factor * clean, atol=1e-6 * factor + 1e-6
    )
    assert remove_wander(signal, 250, 0) is signal


@settings(max_examples=25, deadline=None)
@given(
    leads=st.integers(1, 3),
    rate=st.sampled_from([50.0, 100.0, 128.0, 250.0, 333.3, 1000.0]),
    samples=st.integers(8, 60),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    named=st.booleans(),
)
def test_reading_gives_back_exactly_what_was_written(tmp_path_factory, leads, rate, samples, seed, scale, named):
    ecg = ECG(leads=["I", "II, left", 'V"2'][:leads] if named else leads, rate=rate, seconds=samples / rate)
    sample = scale * torch.randn(ecg.shape, generator=torch.Generator().manual_seed(seed))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    ecg.write(sample, path)
    assert torch.equal(torch.tensor(ecg.read(path)), sample)
    assert torch.equal(torch.tensor(ECG.of(ecg.configuration).read(str(path))), sample)


def test_a_written_sample_says_what_it_holds_and_fits_other_settings(tmp_path):
    ecg = ECG(leads=["I", "V2"], rate=100, seconds=10)
    sample = ecg.examples(1)[0]
    ecg.write(sample, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    assert lines[0] == "time_s,I (prepared mV),V2 (prepared mV)"
    assert lines[2].startswith("0.01,")
    again = ECG(leads=["V2"], rate=50, seconds=5).read(tmp_path / "a.csv")
    assert again.shape == (1, 250)
    np.save(tmp_path / "a.npy", sample.numpy())
    assert (ecg.read(tmp_path / "a.npy") == sample.numpy()).all()


@pytest.mark.parametrize("digits", [3, 4, 9])
def test_rounded_times_give_the_true_rate(tmp_path, digits):
    signal = recording(0.9, rate=128)
    as_csv(tmp_path / "a.csv", signal, rate=128, digits=digits)
    assert open_record(tmp_path / "a.csv", 3, rate=100).rate == 128


def test_without_times_the_rate_is_the_configured_one(tmp_path):
    signal = recording(2.0, rate=500)
    as_csv(tmp_path / "a.csv", signal, times=False)
    sample = ECG(leads=3, rate=500, seconds=1, highpass=0).read(tmp_path / "a.csv")
    np.testing.assert_allclose(sample, signal[:, :500], atol=1e-6)


def test_a_lower_rate_is_noted(tmp_path):
    ecg = ECG(leads=["I"], rate=250, seconds=1)
    ecg.read(as_npz(tmp_path / "a.npz", recording(2.0, rate=100), rate=100))
    assert ecg.notes == {"sampled at less than 250 Hz": 1}


def test_a_gap_matters_only_within_the_sample(tmp_path):
    signal = recording(30.0)
    signal[1, 5 * RATE : 6 * RATE] = np.nan
    as_npz(tmp_path / "a.npz", signal)
    ecg = ECG(leads=3, rate=RATE, seconds=1)
    with pytest.raises(DataError, match=r"gap of 250 samples .*, the first in lead 'MLII' at 5 s"):
        ecg.read(f"{tmp_path / 'a.npz'}#t=5")
    with pytest.raises(DataError, match=r"gap of 1 sample "):
        ecg.read(f"{tmp_path / 'a.npz'}#t={4 + 1 / RATE}")
    for start in (3.9, 6.0, 20.0):
        assert np.isfinite(ecg.read(f"{tmp_path / 'a.npz'}#t={start}")).all()
    as_wfdb(tmp_path / "b", signal)  # WFDB keeps a value for what is not there
    with pytest.raises(DataError, match=r"gap of 250 samples .*the first in lead 'MLII' at 5 s"):
        ecg.read(f"{tmp_path / 'b'}#t=5")


@pytest.mark.parametrize(
    ("cell", "start", "stop"),
    [
        ("a/100", 0, math.inf),
        ("a/100#t=12", 12, math.inf),
        ("a/100.hea#t=12.5,13", 12.5, 13),
        ("a#1/b.edf#t=,.5", 0, 0.5),
        ("a.csv#t=0.25", 0.25, math.inf),
    ],
)
def test_cells_are_taken_apart(cell, start, stop):
    segment = parse_cell(cell)
    assert (segment.start, segment.stop) == (start, stop)
    assert f"{segment.path}" == cell.split("#t=")[0]


@pytest.mark.parametrize("fragment", ["", "x", "-1", "1,", "1;2", "nan", "1e3", "1,2,3", "00:10"])
def test_a_wrong_stretch_is_explained(fragment):
    with pytest.raises(DataError, match=r"write seconds, as '#t=12\.5'"):
        ECG().read(f"a.csv#t={fragment}")


WRONG = {
    "too short": ("#t=11.5", "lasts 0.5 s from 11.5 s on, and 1 s are wanted"),
    "past the end": ("#t=100", "lasts 0 s from 100 s on"),
    "stretch too short": ("#t=3,3.5", "lasts 0.5 s from 3 s on"),
    "backwards": ("#t=3,2", "from 3 to 2 s; give the earlier time first"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_too_short_is_refused(tmp_path, name, mistake):
    WRITERS[name](tmp_path / name, recording(12.0))
    fragment, message = WRONG[mistake]
    with pytest.raises(DataError, match=message):
        ECG(rate=100, seconds=1).read(f"{tmp_path / name}{fragment}")


def test_just_long_enough_is_long_enough(tmp_path):
    for samples in (360, 361):
        as_npz(tmp_path / "a.npz", recording(2.0, rate=360)[:, :samples], rate=360)
        assert ECG(leads=3, rate=128, seconds=1).read(tmp_path / "a.npz").shape == (3, 128)
    as_npz(tmp_path / "a.npz", recording(2.0, rate=360)[:, :359], rate=360)
    with pytest.raises(DataError, match=r"lasts 0\.997222 s, and 1 s are wanted"):
        ECG(leads=3, rate=128, seconds=1).read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no numbers"),
        (b"0,1\n0.01,2\n", "no names of leads"),
        (b"I\n", "holds no numbers"),
        (b"I,II\n1\n", "2 names in its first row and 1 columns"),
        (b"I,II\n1,2\n1,x\n", "line 3"),
        (b"time_s,I\n0,1\n0,1\n", "do not rise"),
        (b"time_s,I\n0,1\n,1\n0.02,1\n", "do not rise"),
        (b"time_s,I\n0,1\n0.01,1\n0.03,1\n0.04,1\n", "uneven steps in 'time_s', the first in row 3"),
        (b"time_s,time_s,I\n0,0,1\n", "2 columns of times"),
        (b"time,I\n0,1\n", "has a column 'time'; call it 'time_s'"),
        (b"\xff\xfe\x00\x01", "holds no numbers"),
    ],
)
def test_wrong_csv_is_explained(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=message):
        ECG(rate=100, seconds=0.1).read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(100)}, "holds an array 'x'; call it 'ecg'"),
        ({"ecg": np.zeros((1, 100)), "signal": np.zeros((1, 100))}, "one of .* is named 'ecg'"),
        ({"ecg": np.zeros((100, 2))}, r"\(100, 2\), more leads than samples; transpose it"),
        ({"ecg": np.zeros((2, 100)), "leads": np.array(["I"] * 100)}, "names 100 leads.*transpose it"),
        ({"ecg": np.zeros((2, 100)), "leads": np.array([1, 2])}, "'leads'; texts are expected"),
        ({"ecg": np.zeros((2, 100)), "rate": np.array([1, 2])}, "2 values in 'rate'"),
        ({"ecg": np.zeros((2, 100)), "rate": 0}, "its sampling rate is 0 Hz"),
        ({"ecg": np.zeros((2, 100)), "rate": np.nan}, "its sampling rate is nan Hz"),
        ({"ecg": np.zeros((2, 100)), "rate": 1e9}, "which no ECG has|lasts"),
        ({"ecg": np.zeros((2, 100)), "rate": 0.9}, "its sampling rate is 0.9 Hz, which no ECG has"),
        ({"ecg": np.zeros((2, 100)), "unit": np.array(["mV"] * 3)}, "3 units for 2 leads"),
        ({"ecg": np.zeros((2, 100), complex)}, "complex128"),
        ({"ecg": np.zeros((2, 2, 100))}, r"\(leads, samples\) is expected"),
        ({"ecg": np.zeros((0, 100))}, r"\(leads, samples\) is expected"),
        ({"ecg": np.array([{}], dtype=object)}, "npz"),
        ({"ecg": 300 * np.random.default_rng(0).normal(size=(1, 400))}, "standard deviation of .* mV, too much"),
    ],
)
def test_wrong_arrays_are_explained(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        ECG(rate=100, seconds=0.1).read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_one_lead_may_come_as_one_row(tmp_path):
    np.savez(tmp_path / "a.npz", ecg=np.sin(np.arange(100.0)), rate=100)
    assert ECG(rate=100, seconds=1, highpass=0).read(tmp_path / "a.npz").shape == (1, 100)


def test_several_units_are_each_their_leads(tmp_path):
    as_npz(tmp_path / "a.npz", np.ones((2, 100)), rate=100, leads=["I", "II"], unit=["mV", "uV"])
    sample = ECG(leads=2, rate=100, seconds=1, highpass=0).read(tmp_path / "a.npz")
    np.testing.assert_allclose(sample[:, 0], [1, 0.001])


@pytest.mark.parametrize("name", ["a", "a.hea", "a.edf", "a.bdf", "a.csv", "a.npz", "a.npy"])
def test_a_missing_file_is_left_to_the_caller(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        ECG().read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.txt", "a.mat", "a.dat"])
def test_a_foreign_ending_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"1,2,3")
    with pytest.raises(DataError, match=r"an ECG is read from \.hea"):
        ECG().read(tmp_path / name)


def test_a_record_of_several_segments(tmp_path):
    signal = recording(8.0)
    for part in (0, 1):
        as_wfdb(tmp_path / f"m{part}", signal[:, part * 4 * RATE : (part + 1) * 4 * RATE])
    (tmp_path / "m.hea").write_text(f"m/2 3 {RATE} {8 * RATE}\nm0 {4 * RATE}\nm1 {4 * RATE}\n")
    sample = ECG(leads=["V2", "I"], rate=RATE, seconds=2, highpass=0).read(f"{tmp_path / 'm'}#t=3")
    np.testing.assert_allclose(sample, signal[[2, 0], 3 * RATE : 5 * RATE], atol=STEP)


def test_a_header_without_a_length(tmp_path):
    as_wfdb(tmp_path / "a", recording(2.0))
    lines = (tmp_path / "a.hea").read_text().splitlines()
    lines[0] = f"a 3 {RATE}"
    (tmp_path / "a.hea").write_text("\n".join(lines) + "\n")
    assert open_record(tmp_path / "a", 1, 100).samples == 2 * RATE


def test_a_lost_signal_file_is_named(tmp_path):
    as_wfdb(tmp_path / "a", recording(2.0))
    (tmp_path / "a.dat").unlink()
    with pytest.raises(DataError, match=r"names the file 'a\.dat', which is not beside it"):
        ECG(rate=100, seconds=1).read(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.edf", "a.bdf", "a.hea"])
@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, name, kept):
    WRITERS[name](tmp_path / name, recording(12.0))
    path = tmp_path / name.replace("hea", "dat")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content)) // 2 * 2])
    with pytest.raises(DataError, match=r"damaged|cut short"):
        ECG(rate=100, seconds=10).read(f"{tmp_path / name}#t=1.5")


def test_edf_takes_the_ecg_among_other_signals(tmp_path):
    beat, brain = recording(4.0)[:1], 0.02 * np.random.default_rng(0).normal(size=(1, 400))
    signals = [EdfSignal(brain[0], 100, label="EEG Fpz-Cz", physical_dimension="uV")]
    signals += [EdfSignal(beat[0], RATE, label="EKG", physical_dimension="mV")]
    Edf(signals).write(tmp_path / "a.edf")
    sample = ECG(rate=RATE, seconds=1, highpass=0).read(tmp_path / "a.edf")
    np.testing.assert_allclose(sample, beat[:, :RATE], atol=STEP)


def test_leads_of_two_rates_are_refused(tmp_path):
    signals = [EdfSignal(np.sin(np.arange(4 * r)), r, label=f"ECG {r}", physical_dimension="mV") for r in (100, 200)]
    Edf(signals).write(tmp_path / "a.edf")
    with pytest.raises(DataError, match="'ECG 100' at 100 Hz and 'ECG 200' at 200 Hz"):
        ECG(leads=2, rate=100, seconds=1).read(tmp_path / "a.edf")


def test_no_stretch_of_a_finished_array(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 1000), np.float32))
    with pytest.raises(DataError, match="leave out '#t='"):
        ECG().read(f"{tmp_path / 'a.npy'}#t=1")


_FOLDER = None


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["a.hea", "a.dat", "a.edf", "a.bdf", "a.csv", "a.npz"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from([1, 0.05]),
)
def test_a_damaged_file_is_an_error_or_a_sample(tmp_path_factory, name, wrong, cut, reach):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        folder.mkdir()
        for each, writer in WRITERS.items():
            writer(folder / each, recording(4.0, rate=64), rate=64)
    target = tmp_path_factory.getbasetemp() / "damage"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    content = bytearray((folder / name).read_bytes())
    for place, byte in wrong:
        content[int(place * reach * len(content))] = byte
    (target / name).write_bytes(content[: int(cut * len(content))] if cut is not None else content)
    ecg = ECG(rate=64, seconds=2)
    try:
        sample = ecg.read(target / ("a" if name in ("a.hea", "a.dat") else name))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either is right)
        return
    assert sample.shape == (1, 128)
    assert np.isfinite(sample).all()


def test_reading_raises_no_warning(tmp_path):
    for name, writer in WRITERS.items():
        writer(tmp_path / name, recording(2.0))
    code = (
        "import sys, warnings; from multimodal_vae_ecg import ECG\n"
        "e = ECG(seconds=1)\n"
        "def read():\n"
        "    for name in sys.argv[1:]: e.read(name)\n"
        "read(); before = list(warnings.filters); read()\n"  # libraries add filters of their own when they are imported
        "assert warnings.filters == before"
    )
    paths = [str(tmp_path / name) for name in WRITERS]
    subprocess.run([sys.executable, "-W", "error", "-c", code, *paths], check=True, timeout=120)


def test_no_address_is_ever_followed(tmp_path, monkeypatch):
    import socket

    def refuse(*arguments):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    for cell in ("s3://bucket/100", "gs://bucket/100.hea", "https://host/100", "https://host/a.csv"):
        with pytest.raises((DataError, FileNotFoundError)):
            ECG().read(cell)
    (tmp_path / "a.hea").write_text("a 1 100 1000\ns3://bucket/a.dat 16 200/mV 16 0 0 0 0 I\n")
    with pytest.raises(DataError):
        ECG().read("a")


def test_a_manifest_names_stretches_of_one_record(tmp_path):
    signal = recording(30.0)
    as_wfdb(tmp_path / "100", signal)
    rows = ["sample_id,patient_id,label,ecg", "a,100,other,100#t=2", 'b,100,PVC,"100.hea#t=5,6"']
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    settings = {"ecg": {"name": "ecg", "leads": ["MLII"], "rate": RATE, "seconds": 1, "highpass": 0}}
    data = MultimodalDataset.from_manifest(tmp_path / "manifest.csv", settings)
    for row, start in enumerate((2, 5)):
        np.testing.assert_allclose(data.samples["ecg"][row], signal[1:2, start * RATE : (start + 1) * RATE], atol=STEP)
    (tmp_path / "manifest.csv").write_text("\n".join([*rows, "c,100,other,100#t=29.5"]) + "\n", "utf-8")
    with pytest.raises(DataError, match=r"line 4, sample 'c', ecg, .*100#t=29\.5: lasts 0\.5 s from 29\.5 s on"):
        MultimodalDataset.from_manifest(tmp_path / "manifest.csv", settings)


def test_the_files_of_a_recording_are_all_that_it_is_read_from(tmp_path):
    as_wfdb(tmp_path / "100", recording(30.0))
    whole = {tmp_path / "100.hea", tmp_path / "100.dat"}
    for cell in ("100", "100.hea", "100#t=2", "100.hea#t=5,6"):
        assert set(ECG().files(tmp_path / cell)) == whole
    (tmp_path / "long.hea").write_text("long/2 1 100 2000\n# a comment\n100 1000\n100 1000\n")
    assert set(ECG().files(tmp_path / "long")) == {tmp_path / "long.hea", *whole}
    assert ECG().files(tmp_path / "a.csv#t=1") == [tmp_path / "a.csv"]
    with pytest.raises(FileNotFoundError):
        ECG().files(tmp_path / "none")
