"""What a file states about its signals, in all spellings: read where it has one meaning, refused otherwise."""

import os
import warnings

import numpy as np
import pytest
import torch
from edfio import Bdf, BdfSignal, Edf, EdfSignal
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_vae import DataError, MultimodalDataset
from multimodal_vae.measurements import CODES, gaps_as_nan, is_clock
from multimodal_vae_ecg import ECG, open_record
from multimodal_vae_ecg.leads import NO_UNIT, choose_leads, is_ecg, name_and_unit

RATE = 100
TIME = np.arange(400) / RATE
ECG_LIKE = np.exp(-0.5 * (((TIME % 0.8) - 0.4) / 0.02) ** 2)  # mV; a beat per 0.8 s
PLAIN = {"rate": RATE, "seconds": 4, "highpass": 0, "width": 4}


def csv_file(folder, header, *columns, separator=",", name="a.csv", encoding="utf-8"):
    rows = [header, *(separator.join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True))]
    (folder / name).write_text("\n".join(rows) + "\n", encoding)
    return folder / name


def wfdb_file(folder, lines, signals, name="a"):
    """Write a header as given, and signals of 16 bits, interleaved by frame."""
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", "utf-8")
    frames = [np.asarray(signal).reshape(-1, per_frame) for signal, per_frame in signals]
    (folder / f"{name}.dat").write_bytes(np.concatenate(frames, axis=1).astype("<i2").tobytes())
    return folder / f"{name}.hea"


def edf_file(folder, signals, name="a.edf", kind=(Edf, EdfSignal), rate=RATE):
    file, signal = kind
    limits = {"physical_range": (-40.0, 40.0), "physical_dimension": "mV"}
    file([signal(values, rate, label=label, **limits) for label, values in signals]).write(folder / name)
    return folder / name


# Units


@pytest.mark.parametrize(
    ("unit", "factor"), [("V", 1e-3), ("mV", 1), ("uV", 1e3), ("µV", 1e3), ("μV", 1e3), ("nV", 1e6)]
)
@pytest.mark.parametrize("form", ["II ({})", "II [{}]", "II {{{}}}", "II <{}>", "II({})", "II [ {} ]"])
def test_units_in_any_brackets(tmp_path, unit, factor, form):
    path = csv_file(tmp_path, "time_s," + form.format(unit), TIME, factor * ECG_LIKE)
    ecg = ECG(leads=["II"], **PLAIN)
    np.testing.assert_allclose(ecg.read(path)[0], ECG_LIKE, atol=1e-5)
    assert not ecg.notes


@pytest.mark.parametrize("form", ["II_{}", "II/{}", "II {}", "II, {}", "II - {}", "{}"])
@pytest.mark.parametrize(
    ("unit", "factor"), [("mV", 1), ("uV", 1e3), ("µV", 1e3), ("microvolts", 1e3), ("Volts", 1e-3)]
)
def test_units_after_the_name(tmp_path, unit, factor, form):
    text = form.format(unit)
    path = csv_file(tmp_path, f'time_s,"{text}"', TIME, factor * ECG_LIKE)
    ecg = ECG(**PLAIN)
    np.testing.assert_allclose(ecg.read(path)[0], ECG_LIKE, atol=1e-5)
    assert NO_UNIT not in ecg.notes


@pytest.mark.parametrize("unit", ["mmHg", "g", "adu", "uV/LSB", "0.001 mV", "percent"])
def test_other_units_are_refused(tmp_path, unit):
    with pytest.raises(DataError, match="in the unit"):
        ECG(**PLAIN).read(csv_file(tmp_path, f"time_s,II [{unit}]", TIME, ECG_LIKE))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_micro_signs_in_any_encoding(tmp_path, encoding):
    path = csv_file(tmp_path, "time_s;II (µV)", TIME, 1000 * ECG_LIKE, separator=";", encoding=encoding)
    np.testing.assert_allclose(ECG(**PLAIN).read(path)[0], ECG_LIKE, atol=1e-5)


@pytest.mark.parametrize("micro", [b"\xb5V", "µV".encode(), "μV".encode(), b"uV"])
def test_micro_signs_in_a_wfdb_header(tmp_path, micro):
    path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", "a.dat 16 1/UNIT 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    path.write_bytes(path.read_bytes().replace(b"UNIT", micro))
    np.testing.assert_allclose(ECG(**PLAIN).read(path)[0], ECG_LIKE, atol=1e-3)


@pytest.mark.parametrize("factor", [1e-3, 1e-6, 1e3])
def test_a_signal_without_a_unit_must_have_an_ecgs_size(tmp_path, factor):
    path = csv_file(tmp_path, "time_s,II", TIME, factor * ECG_LIKE)
    with pytest.raises(DataError, match=r"too (much|little) for an ECG; state its unit"):
        ECG(**PLAIN).read(path)
    ecg = ECG(**PLAIN)
    ecg.read(csv_file(tmp_path, "time_s,II", TIME, ECG_LIKE))
    assert ecg.notes[NO_UNIT] == 1


@pytest.mark.parametrize("form", ["csv", "npz", "npy", "edf", "wfdb"])
def test_a_value_that_no_ecg_has_is_refused(tmp_path, form):
    signal = ECG_LIKE.copy()
    signal[200:203] = 150
    if form == "csv":
        path = csv_file(tmp_path, "II (mV)", signal)
    elif form == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, ecg=signal, rate=RATE, unit=np.array("mV"))
    elif form == "npy":
        path = tmp_path / "a.npy"
        np.save(path, signal[None])
    elif form == "edf":
        path = tmp_path / "a.edf"
        limits = {"physical_range": (-200.0, 200.0), "physical_dimension": "mV"}
        Edf([EdfSignal(signal, RATE, label="II", **limits)]).write(path)
    else:
        path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", "a.dat 16 100/mV 16 0 0 0 0 II"], [(100 * signal, 1)])
    with pytest.raises(DataError, match=r"a value 150 mV from its lead's median, too far for an ECG"):
        ECG(**PLAIN).read(path)


@pytest.mark.parametrize("form", ["csv", "npz"])
@pytest.mark.parametrize("size", [3, 20, 1000])
def test_whole_numbers_without_a_unit_are_refused(tmp_path, form, size):
    counts = np.round(size * ECG_LIKE)
    path = csv_file(tmp_path, "time_s,II", TIME, counts)
    if form == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, ecg=counts.astype(np.int16), rate=RATE)
    with pytest.raises(DataError, match="whole numbers without a unit"):
        ECG(**PLAIN).read(path)
    ECG(**PLAIN).read(csv_file(tmp_path, "time_s,II (uV)", TIME, counts))


@pytest.mark.parametrize("unit", [1000, 200])
def test_arrays_in_memory_must_have_an_ecgs_size(unit):
    samples = np.tile(ECG_LIKE, (4, 1, 1))
    MultimodalDataset.from_tensors({"ecg": samples}, ["a", "b"] * 2, {"ecg": ECG(**PLAIN)})
    samples[2] *= unit
    with pytest.raises(DataError, match=r"modality 'ecg': a sample has a standard deviation of .* mV, too much"):
        MultimodalDataset.from_tensors({"ecg": samples}, ["a", "b"] * 2, {"ecg": ECG(**PLAIN)})


@pytest.mark.parametrize(("factor", "word"), [(1000, "much"), (1e-3, "little")])
def test_arrays_must_have_an_ecgs_size(tmp_path, factor, word):
    np.save(tmp_path / "a.npy", factor * ECG_LIKE[None])
    with pytest.raises(DataError, match=f"too {word} for an ECG"):
        ECG(**PLAIN).read(tmp_path / "a.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_arrays_with_values_that_are_not_finite_are_refused(tmp_path, value):
    signal = np.tile(ECG_LIKE, (1, 1))
    signal[0, 7] = value
    np.save(tmp_path / "a.npy", signal)
    (tmp_path / "manifest.csv").write_text("sample_id,label,ecg\n1,a,a.npy\n2,b,a.npy\n")
    with pytest.raises(DataError, match=r"not finite|too much"), np.errstate(over="ignore"):
        MultimodalDataset.from_manifest(tmp_path / "manifest.csv", {"ecg": ECG(**PLAIN)}, cache=False)


# Times and indices


@pytest.mark.parametrize(
    ("header", "step"),
    [
        ("time_s", 0.01),
        ("Time (s)", 0.01),
        ("time [s]", 0.01),
        ("Seconds", 0.01),
        ("t_ms", 10),
        ("time_ms", 10),
        ("Time [ms]", 10),
        ("elapsed time (sec)", 0.01),
        ("Time, s", 0.01),
        ("time/s", 0.01),
        ("t (us)", 10_000),
        ("time_µs", 10_000),
        ("timestamp [ms]", 10),
        ("Time {milliseconds}", 10),
    ],
)
def test_times_tell_the_rate(tmp_path, header, step):
    record = open_record(csv_file(tmp_path, f'"{header}",II (mV)', np.arange(400) * step, ECG_LIKE), ["II"], 123)
    assert record.rate == RATE
    assert not record.notes


@pytest.mark.parametrize(
    "header", ["time", "T", "ms", "timestamp", "Time (min)", "time_h", "t [ns]", "Time (ticks)", "elapsed time"]
)
def test_times_without_a_unit_are_refused(tmp_path, header):
    with pytest.raises(DataError, match="call it 'time_s' if it holds seconds"):
        ECG(**PLAIN).read(csv_file(tmp_path, f"{header},II", TIME, ECG_LIKE))


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "index", "sample", "sample #", "n", "Time of day", "#"])
@pytest.mark.parametrize("start", [0, 1, 1000])
def test_an_index_is_never_a_lead(tmp_path, header, start):
    index = start + np.arange(400)
    ecg = ECG(**PLAIN)
    np.testing.assert_allclose(ecg.read(csv_file(tmp_path, f"{header},II", index, ECG_LIKE))[0], ECG_LIKE, atol=1e-5)
    assert ecg.notes["leads by their order in the file: II"] == 1
    assert ecg.notes["no sampling rate in the file, taken as 100 Hz"] == 1


@pytest.mark.parametrize("header", ["Zeit", "zeit_s", "temps", "x", "", "sample", "datetime"])
@pytest.mark.parametrize("step", [0.002, 2, 10, 1e-5])
def test_a_column_of_even_steps_may_state_a_rate(tmp_path, header, step):
    with pytest.raises(DataError, match=f"a column '{header}' of even steps; call it 'time_s'"):
        ECG(**PLAIN).read(csv_file(tmp_path, f"{header},II", step * np.arange(400), ECG_LIKE))
    csv_file(tmp_path, f"time_s,{header},II", TIME, step * np.arange(400), ECG_LIKE)
    ECG(**PLAIN).read(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["fs", "Sampling Rate", "rate", "Hz", "units", "unit", "gain", "ADC gain", "offset"])
def test_a_column_beside_the_leads_that_states_a_fact_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=f"has a column {name!r}; remove it"):
        ECG(**PLAIN).read(csv_file(tmp_path, f"time_s,II (mV),{name}", TIME, ECG_LIKE, np.full(400, 500)))


@pytest.mark.parametrize("rate", [0.25, 0.5, 1, 9, 200_000, 1e9])
@pytest.mark.parametrize("form", ["csv", "npz", "wfdb"])
def test_a_rate_that_no_ecg_has_is_refused(tmp_path, form, rate):
    if form == "csv":
        path = csv_file(tmp_path, "time_s,II (mV)", np.arange(400) / rate, ECG_LIKE)
    elif form == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, ecg=ECG_LIKE, rate=rate, unit=np.array("mV"))
    else:
        path = wfdb_file(tmp_path, [f"a 1 {rate} 400", "a.dat 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    with pytest.raises(DataError, match="which no ECG has"):
        ECG(**PLAIN).read(path)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-4, 1e4), st.floats(-1e3, 1e9), st.integers(8, 500), st.sampled_from([0, 2, 3, 9]))
def test_a_rising_column_is_a_clock_whatever_its_name_and_rounding(step, start, count, digits):
    clock = np.round(start + step * np.arange(count), digits)
    rounding = 0.5 * 10.0**-digits + 1e-6
    if rounding < 0.02 * step * (count - 1):
        assert is_clock(clock)
    assert not is_clock(-clock)
    assert not is_clock(np.zeros(count))


@pytest.mark.parametrize("file", ["csv", "npz", "wfdb", "edf"])
def test_a_clock_that_is_called_a_lead_is_refused(tmp_path, file):
    clock = TIME
    if file == "csv":
        path = csv_file(tmp_path, "lead 1 (mV),II (mV)", clock, ECG_LIKE)
    elif file == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, ecg=np.stack([clock, ECG_LIKE]), leads=np.array(["I", "II"]), rate=RATE, unit=np.array("mV"))
    elif file == "wfdb":
        path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", "a.dat 16 1000/mV 16 0 0 0 0 I"], [(1000 * clock, 1)])
    else:
        path = edf_file(tmp_path, [("I", clock)])
    leads = ["lead 1"] if file == "csv" else ["I"]
    with pytest.raises(DataError, match="rises evenly as an index or a clock"):
        ECG(leads=leads, **PLAIN).read(path)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 5), st.floats(0.2, 2))
def test_an_ecg_on_any_drift_is_no_clock(seed, drift, size):
    noise = 0.01 * np.random.default_rng(seed).normal(size=400)
    assert not is_clock(size * ECG_LIKE + drift * TIME / 4 + noise)


# Names of arrays


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        *(
            (name, 500, "rate")
            for name in ("fs", "FS", "sfreq", "sampling_rate", "sample rate", "samplerate", "Rate", "Hz")
        ),
        *((name, np.array("uV"), "unit") for name in ("units", "Unit", "UNITS")),
        *(
            (name, np.array(["II"]), "leads")
            for name in ("lead", "lead_names", "channels", "ch_names", "sig_name", "Leads")
        ),
        ("ECG", np.zeros(400), "ecg"),
        ("gain", 200, "ecg, rate, leads and unit"),
        ("offset", 1024, "ecg, rate, leads and unit"),
        ("note", np.array("text"), "ecg, rate, leads and unit"),
    ],
)
def test_an_array_of_another_name_is_refused_with_the_right_one(tmp_path, name, value, right):
    np.savez(tmp_path / "a.npz", ecg=ECG_LIKE, **{name: value})
    with pytest.raises(DataError, match=f"array {name!r}.*{right}"):
        ECG(**PLAIN).read(tmp_path / "a.npz")


def test_what_an_npz_does_not_state_is_noted(tmp_path):
    np.savez(tmp_path / "a.npz", ecg=ECG_LIKE)
    ecg = ECG(**PLAIN)
    ecg.read(tmp_path / "a.npz")
    assert set(ecg.notes) == {
        NO_UNIT,
        "no sampling rate in the file, taken as 100 Hz",
        "leads by their order in the file: lead 1",
    }


# Leads by number


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["EEG FP1-REF", "EEG EKG1-REF"], [1]),
        (["Fp1", "C3", "O2", "ECG"], [3]),
        (["EEG C3-A2", "EOG", "ekg II", "Resp"], [2]),
        (["PLETH", "ABP", "mlii", "V5"], [2, 3]),
        (["Resp", "lead 1", "lead 2"], [1, 2]),
        (["", "0", "1"], [1, 2]),
        (["X1", "I", "aVR", "V1", "MCL1", "vx", "-aVR", "D3", "mod.V1", "CM5", "E-S"], list(range(1, 11))),
    ],
)
def test_a_number_of_leads_takes_what_is_named_as_an_ecg(names, taken):
    assert choose_leads(names, len(taken)) == taken
    with pytest.raises(DataError, match=f"has {len(taken)} lead.* and {len(taken) + 1} are wanted"):
        choose_leads(names, len(taken) + 1)


OTHERS = ["EEG FP1-REF", "Fp1", "C3", "O2-A1", "Cz", "T3", "EOG", "EMG chin", "Resp", "PLETH", "SpO2", "ABP", "CVP"]
OTHERS += ["index", "value", "x", "y", "z", "acc_x", "Unnamed: 0", "", "Annotations", "EEG A1", "EEG M1", "voltage"]


@pytest.mark.parametrize("names", [OTHERS, *([name] for name in OTHERS)])
def test_no_other_signal_is_taken_for_an_ecg_by_number(tmp_path, names):
    with pytest.raises(DataError, match="set 'leads' to the names to read"):
        choose_leads(names, 1)
    assert not any(is_ecg(name) for name in names)


@pytest.mark.parametrize("name", ["EEG Fp1", "Cz", "value"])
@pytest.mark.parametrize("file", ["csv", "npz", "edf", "bdf", "wfdb"])
def test_in_no_format_is_another_signal_taken(tmp_path, file, name):
    if file == "csv":
        path = csv_file(tmp_path, f"{name} (mV)", ECG_LIKE)
    elif file == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, ecg=ECG_LIKE, leads=np.array([name]), rate=RATE)
    elif file == "wfdb":
        path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", f"a.dat 16 1000/mV 16 0 0 0 0 {name}"], [(1000 * ECG_LIKE, 1)])
    else:
        kind = (Edf, EdfSignal) if file == "edf" else (Bdf, BdfSignal)
        path = edf_file(tmp_path, [(name, ECG_LIKE)], f"a.{file}", kind)
    with pytest.raises(DataError, match=f"only {name}; set 'leads'"):
        ECG(**PLAIN).read(path)
    np.testing.assert_allclose(ECG(leads=[name], **PLAIN).read(path)[0], ECG_LIKE, atol=2e-3)


def dataset(folder, names, leads, **settings):
    rows = ["sample_id,label,ecg", *(f"{n},{'ab'[n % 2]},{name}" for n, name in enumerate(names))]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    modality = {"ecg": {"name": "ecg", "leads": leads, **PLAIN}}
    return MultimodalDataset.from_manifest(folder / "manifest.csv", modality, **settings)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize(
    ("header", "count"), [("aVF,aVL,II", 3), ("II,I,III", 3), ("II", 1), ("lead 1,lead 2", 2), ("V1", 1)]
)
def test_files_whose_first_leads_differ_are_refused(tmp_path, header, count, cache):
    first = ["I", "II", "III"][:count]
    csv_file(tmp_path, ",".join(first), *[ECG_LIKE] * count, name="a.csv")
    csv_file(tmp_path, header, *[ECG_LIKE] * count, name="b.csv")
    with pytest.raises(DataError, match=r"ecg: the first leads differ .* \(2 samples\).*set 'leads' to names"):
        dataset(tmp_path, ["a.csv", "b.csv", "a.csv", "b.csv"], count, cache=cache)
    dataset(tmp_path, ["a.csv", "a.csv"], count, cache=cache)
    with pytest.raises(DataError, match="the first leads differ"):  # samples from the cache count too
        dataset(tmp_path, ["a.csv", "b.csv"], count, cache=cache)


def test_the_same_leads_in_another_order_are_found_by_name(tmp_path):
    columns = {"I": ECG_LIKE, "II": 2 * ECG_LIKE, "III": ECG_LIKE * 3}
    csv_file(tmp_path, ",".join(columns), *columns.values(), name="a.csv")
    csv_file(tmp_path, ",".join(reversed(columns)), *reversed(columns.values()), name="b.csv")
    data = dataset(tmp_path, ["a.csv", "b.csv"], ["I", "II", "III"], cache=False)
    np.testing.assert_array_equal(data.samples["ecg"][0], data.samples["ecg"][1])


def test_one_lead_in_several_spellings_is_the_same(tmp_path):
    for name, header in (("a.csv", "II"), ("b.csv", "ECG II"), ("c.csv", "lead ii (mV)")):
        csv_file(tmp_path, header, ECG_LIKE, name=name)
    assert len(dataset(tmp_path, ["a.csv", "b.csv", "c.csv"], 1, cache=False)) == 3


def test_generated_samples_go_with_real_ones(tmp_path):
    csv_file(tmp_path, "II", ECG_LIKE, name="a.csv")
    ecg = ECG(**PLAIN)
    ecg.write(ecg.examples(1)[0], tmp_path / "b.csv")
    assert len(dataset(tmp_path, ["a.csv", "b.csv"], 1, cache=False)) == 2


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("-aVR", "-avr"),
        ("\N{MINUS SIGN}aVR", "-avr"),
        ("ECG -aVR", "-avr"),
        ("lead -II", "-ii"),
        ("+aVF", "avf"),
        ("ECG-II", "ii"),
        ("ECG - II", "ii"),
        ("Lead_V-1", "v1"),
        ("E-S", "es"),
    ],
)
def test_a_minus_before_a_name_stays(name, plain):
    assert choose_leads([name], [plain]) == [0]
    assert choose_leads([name], 1) == [0]
    with pytest.raises(DataError, match="no lead"):
        choose_leads([name], [plain[1:] if plain.startswith("-") else f"-{plain}"])


# Gaps


@settings(max_examples=300, deadline=None)
@given(
    code=st.sampled_from([sign * code for code in CODES for sign in (1, -1)]),
    first=st.integers(0, 399),
    length=st.integers(1, 400),
    scale=st.sampled_from([1.0, 1000.0, 200.0]),
    digits=st.sampled_from([0, 3]),
)
def test_codes_of_missing_samples_are_gaps(code, first, length, scale, digits):
    signal = np.round(scale * ECG_LIKE, digits)
    signal[first : first + length] = code
    steps = np.abs(np.diff(np.delete(signal, np.s_[first : first + length])))
    marked = gaps_as_nan(signal[None])[0]
    largest = steps.max(initial=0) if len(steps) else 0
    if abs(code) > 2 * largest + scale:  # otherwise a sample may have this value
        assert np.isnan(marked[first : first + length]).all()
    rest = np.delete(marked, np.s_[first : first + length])
    np.testing.assert_array_equal(rest, np.delete(signal, np.s_[first : first + length]))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([100, 999, 1500, 9999]))
def test_samples_that_equal_a_code_by_chance_stay(seed, size):
    walk = np.cumsum(np.random.default_rng(seed).integers(-size // 10, size // 10, (2, 2000)), axis=1)
    walk += 999 - walk[:, 1000:1001]
    assert np.isfinite(gaps_as_nan(walk.astype(float))).all()


@pytest.mark.parametrize("code", [-32768, 32767, -999, 999, -9999, 65535])
@pytest.mark.parametrize("form", ["csv", "npz", "npy"])
def test_codes_are_refused_in_every_format(tmp_path, form, code):
    unit = "mV" if abs(code) == 999 else "uV"
    signal, path = np.round(ECG_LIKE if unit == "mV" else 1000 * ECG_LIKE, 3), tmp_path / f"a.{form}"
    signal[100:110] = code
    if form == "csv":
        csv_file(tmp_path, f"time_s,II ({unit})", TIME, signal)
    elif form == "npz":
        np.savez(path, ecg=signal, rate=RATE, unit=np.array(unit))
    else:
        np.save(path, signal[None])
    ecg = ECG(**PLAIN)
    with pytest.raises(DataError, match=r"has a gap of 10 samples|10 values that are not finite"):
        ecg.check(torch.tensor(ecg.read(path))[None])


@pytest.mark.parametrize("kind", [(Edf, EdfSignal, "a.edf"), (Bdf, BdfSignal, "a.bdf")])
@pytest.mark.parametrize("end", [-40.0, 40.0])
def test_the_end_of_an_edf_range_is_a_gap(tmp_path, kind, end):
    signal = ECG_LIKE.copy()
    signal[100:110] = end
    path = edf_file(tmp_path, [("II", signal)], kind[2], kind[:2])
    with pytest.raises(DataError, match="has a gap of 10 samples"):
        ECG(**PLAIN).read(path)


def test_words_for_missing_numbers_are_gaps(tmp_path):
    for word in ("NA", "NaN", "", "null", "None", "N/A"):
        path = csv_file(tmp_path, "time_s,II (mV)", TIME, ECG_LIKE)
        text = path.read_text().splitlines()
        text[101] = f"1,{word}"
        path.write_text("\n".join(text))
        with pytest.raises(DataError, match=r"has a gap of 1 sample .* at 1 s"):
            ECG(**PLAIN).read(path)


# WFDB


@pytest.mark.parametrize("per_frame", [1, 2, 64])
@pytest.mark.parametrize("start", [0, 0.5, 1.25])
@pytest.mark.parametrize("other", [None, 1, 3])
def test_several_samples_per_frame(tmp_path, per_frame, start, other):
    time = np.arange(640) / 64
    lead = np.round(1000 * np.exp(-0.5 * (((time % 0.8) - 0.4) / 0.03) ** 2))
    lines = [f"a {1 if other is None else 2} {64 / per_frame:g} {640 // per_frame}"]
    lines += [f"a.dat 16x{per_frame} 1000/mV 16 0 0 0 0 II"]
    signals = [(lead, per_frame)]
    if other:
        lines += [f"a.dat 16x{other} 100/mmHg 16 0 0 0 0 ABP"]
        signals += [(np.zeros(640 // per_frame * other), other)]
    path = wfdb_file(tmp_path, lines, signals)
    assert open_record(path, 1, 100).rate == 64
    sample = ECG(leads=["II"], rate=64, seconds=4, highpass=0, width=4).read(f"{path}#t={start}")
    first = round(64 * start)
    np.testing.assert_allclose(sample[0], lead[first : first + 256] / 1000, atol=1e-6)


def test_leads_of_two_rates_in_one_frame_are_refused(tmp_path):
    lines = ["a 2 100 400", "a.dat 16x2 1000/mV 16 0 0 0 0 I", "a.dat 16 1000/mV 16 0 0 0 0 II"]
    path = wfdb_file(tmp_path, lines, [(np.repeat(ECG_LIKE, 2) * 1000, 2), (1000 * ECG_LIKE, 1)])
    with pytest.raises(DataError, match="'I' at 200 Hz and 'II' at 100 Hz"):
        ECG(leads=2, **PLAIN).read(path)


@pytest.mark.parametrize("gain", ["", "0", "0/mV", "0(0)/mV", "0.0/uV", "/mV"])
def test_a_signal_without_a_gain_is_refused(tmp_path, gain):
    rest = "16 0 0 0 0 II" if gain else ""
    path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", f"a.dat 16 {gain} {rest}".strip()], [(1000 * ECG_LIKE, 1)])
    if not gain:
        path.write_text(f"a 1 {RATE} 400\na.dat 16\n")
    with pytest.raises(DataError, match=r"no gain for lead .* uncalibrated|no signal named"):
        ECG(**PLAIN).read(path)


@pytest.mark.parametrize("gain", ["1000", "1000/mV", "1e3/mV", "1000(0)/mV", "1.0(0)/uV", "1000000/V"])
def test_gains_in_every_spelling(tmp_path, gain):
    path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", f"a.dat 16 {gain} 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    np.testing.assert_allclose(ECG(**PLAIN).read(path)[0], np.trunc(1000 * ECG_LIKE) / 1000, atol=1e-6)


@pytest.mark.parametrize(
    "gain", ["1000mV", "1000uV", "1000 (mV)", "1000:mV", "mV", "1,000/mV", "0x3E8/mV", "1000(a)/mV"]
)
def test_gains_in_other_spellings_are_refused(tmp_path, gain):
    field = gain.replace(" ", "")
    path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", f"a.dat 16 {field} 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    with pytest.raises(DataError, match=r"states the gain|no signal named as an ECG lead"):
        ECG(**PLAIN).read(path)


@pytest.mark.parametrize("rate", ["-100", "1e2", "100Hz", "0.1kHz", "20kHz", "nan", "inf", "100,0"])
def test_rates_in_other_spellings_are_refused(tmp_path, rate):
    path = wfdb_file(tmp_path, [f"a 1 {rate} 400", "a.dat 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    with pytest.raises(DataError, match=rf"states the sampling rate '{rate}'"):
        ECG(**PLAIN).read(path)


@pytest.mark.parametrize("rate", ["100", "100.0", "100/1000", "100/1000(0)", "100."])
def test_rates_in_every_spelling(tmp_path, rate):
    path = wfdb_file(tmp_path, [f"a 1 {rate} 400", "a.dat 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    record = open_record(path, ["II"], 123)
    assert (record.rate, record.notes) == (100, ())


def test_segments_of_another_rate_than_their_record_are_refused(tmp_path):
    path = segments(tmp_path, [("mV", 1000, ["I", "II"])] * 2)
    path.write_text(path.read_text().replace(f" {RATE} ", " 250 ", 1))
    with pytest.raises(DataError, match="states 250 frames a second, but its segments have 100"):
        ECG(**PLAIN).read(path)


@pytest.mark.parametrize("unit", ["uV", "nV"])
def test_a_stated_unit_that_makes_an_ecg_too_small_is_noted(tmp_path, unit):
    ecg = ECG(leads=["II"], **PLAIN)
    ecg.read(csv_file(tmp_path, f"time_s,II ({unit})", TIME, ECG_LIKE))
    assert ecg.notes == {"standard deviation below 0.002 mV": 1}


@pytest.mark.parametrize("length", ["", " 0"])
@pytest.mark.parametrize("fragment", ["", "#t=0.5", "#t=2,4"])
def test_a_header_without_a_length_reads_like_one_with(tmp_path, length, fragment):
    signal = [(1000 * ECG_LIKE, 1)]
    lead = "a.dat 16 1000/mV 16 0 0 0 0 II"
    short = {**PLAIN, "seconds": 2}
    expected = ECG(**short).read(f"{wfdb_file(tmp_path, [f'a 1 {RATE} 400', lead], signal)}{fragment}")
    path = wfdb_file(tmp_path, [f"a 1 {RATE}{length}", lead], signal)
    assert open_record(path, 1, 1).samples == 400
    np.testing.assert_array_equal(ECG(**short).read(f"{path}{fragment}"), expected)


def test_a_header_without_a_rate_is_noted(tmp_path):
    path = wfdb_file(tmp_path, ["a 1", "a.dat 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    record = open_record(path, ["II"], 100)
    assert (record.rate, record.samples) == (250, 400)
    assert record.notes == ("no sampling rate in the file, taken as 250 Hz",)


def segments(folder, parts, layout="m_layout 0"):
    """A record of segments: None for an empty one, else unit, counts per unit, and names."""
    lines = [f"m/{len(parts) + bool(layout)} 2 {RATE} {400 * len(parts)}"] + ([layout] if layout else [])
    for number, part in enumerate(parts):
        lines.append(f"{f'm{number}' if part else '~'} 400")
        if part:
            unit, gain, names = part
            signals = [f"m{number}.dat 16 {gain}/{unit} 16 0 0 0 0 {name}" for name in names]
            size = {"mV": 1, "uV": 1000, "V": 0.001}[unit] * gain
            columns = [(np.round(size * ECG_LIKE * (1 + (name == "II"))), 1) for name in names]
            wfdb_file(folder, [f"m{number} {len(names)} {RATE} 400", *signals], columns, f"m{number}")
    if layout:
        names = [f"~ 0 1000/mV 16 0 0 0 0 {name}" for name in ("I", "II")]
        (folder / "m_layout.hea").write_text("\n".join([f"m_layout 2 {RATE} 0", *names]) + "\n")
    (folder / "m.hea").write_text("\n".join(lines) + "\n")
    return folder / "m.hea"


@pytest.mark.parametrize("layout", ["m_layout 0", ""])
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_empty_segments_are_gaps_and_others_are_read(tmp_path, layout, empty):
    parts = [("mV", 1000, ["I", "II"])] * 3
    parts[empty] = None
    path = segments(tmp_path, parts, layout)
    ecg = ECG(leads=["II", "I"], **PLAIN)
    for part in range(3):
        cell = f"{path}#t={4 * part}"
        if part == empty:
            with pytest.raises(DataError, match=rf"gap of 400 samples .* at {4 * part} s"):
                ecg.read(cell)
        else:
            np.testing.assert_allclose(ecg.read(cell), [2 * ECG_LIKE, ECG_LIKE], atol=2e-3)
    with pytest.raises(DataError, match="gap of"):
        ecg.read(f"{path}#t={4 * empty - 2 if empty else 2}")


def test_segments_have_units_gains_and_orders_of_their_own(tmp_path):
    parts = [("mV", 1000, ["I", "II"]), ("uV", 1, ["II", "I"]), ("V", 1e6, ["I", "II"]), ("mV", 500, ["II"])]
    path = segments(tmp_path, parts)
    ecg = ECG(leads=["I", "II"], **PLAIN)
    for part in range(3):
        np.testing.assert_allclose(ecg.read(f"{path}#t={4 * part}"), [ECG_LIKE, 2 * ECG_LIKE], atol=2e-3)
    with pytest.raises(DataError, match=r"gap of 400 samples .* lead 'I' at 12 s"):
        ecg.read(f"{path}#t=12")
    assert ECG(leads=["II"], **PLAIN).read(f"{path}#t=12").max() == pytest.approx(2, abs=2e-3)
    across = ECG(leads=["I"], **PLAIN).read(f"{path}#t=2")[0]
    np.testing.assert_allclose(across, np.concatenate([ECG_LIKE[200:], ECG_LIKE[:200]]), atol=2e-3)


def test_a_record_that_is_its_own_segment_is_refused(tmp_path):
    (tmp_path / "m.hea").write_text(f"m/1 1 {RATE} 400\nm 400\n")
    with pytest.raises(DataError, match="itself divided into segments"):
        ECG(**PLAIN).read(tmp_path / "m")


# Endings and files


@pytest.mark.parametrize("cell", ["REC.HEA", "REC", "REC.hea"])
@pytest.mark.parametrize(
    ("header", "data", "named"), [("REC.HEA", "REC.DAT", "REC.DAT"), ("REC.hea", "rec.DAT", "REC.dat")]
)
def test_wfdb_files_may_be_in_capitals(tmp_path, cell, header, data, named):
    path = wfdb_file(tmp_path, [f"REC 1 {RATE} 400", f"{named} 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)], "r")
    path.rename(tmp_path / header)
    (tmp_path / "r.dat").rename(tmp_path / data)
    np.testing.assert_allclose(ECG(**PLAIN).read(tmp_path / cell)[0], ECG_LIKE, atol=2e-3)
    assert set(ECG().files(tmp_path / cell)) == {tmp_path / header, tmp_path / data}
    assert sorted(os.listdir(tmp_path)) == sorted([header, data])


@pytest.mark.parametrize("name", ["A.EDF", "A.BDF", "A.CSV", "A.NPZ", "A.NPY"])
def test_endings_may_be_in_capitals(tmp_path, name):
    if name in ("A.EDF", "A.BDF"):
        edf_file(tmp_path, [("II", ECG_LIKE)], name, (Edf, EdfSignal) if name == "A.EDF" else (Bdf, BdfSignal))
    elif name == "A.CSV":
        csv_file(tmp_path, "II", ECG_LIKE, name=name)
    else:
        with open(tmp_path / name, "wb") as file:
            np.savez(file, ecg=ECG_LIKE) if name == "A.NPZ" else np.save(file, ECG_LIKE[None])
    np.testing.assert_allclose(ECG(**PLAIN).read(tmp_path / name)[0], ECG_LIKE, atol=2e-3)


@pytest.mark.parametrize("name", ["a.hea", "a.dat"])
def test_a_pipe_is_no_file(tmp_path, name):
    path = wfdb_file(tmp_path, [f"a 1 {RATE} 400", "a.dat 16 1000/mV 16 0 0 0 0 II"], [(1000 * ECG_LIKE, 1)])
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises((FileNotFoundError, DataError)):
        ECG(**PLAIN).read(path)


def test_names_are_split_from_units():
    for text, expected in {
        "II": ("II", None),
        " aVR [mV] ": ("aVR", "mV"),
        "V": ("V", None),
        "V1": ("V1", None),
        "II (left) [uV]": ("II (left)", "uV"),
        "II ()": ("II", None),
        "ECG_II_uV": ("ECG_II", "uV"),
        "mV": ("lead", "mV"),
        "(mV)": ("lead", "mV"),
        "Amplitude (mV)": ("Amplitude", "mV"),
    }.items():
        assert name_and_unit(text) == expected


@pytest.mark.parametrize("form", ["a{}b", "time{}b", "a{}(mV", "{}", "a({}"])
@pytest.mark.parametrize("character", [" ", "_", "(", "mV "])
def test_long_names_take_no_time(tmp_path, form, character):
    header = form.format(character * 40_000)
    with pytest.raises(DataError, match=r"name has \d+ characters|has no signal named"):
        ECG(**PLAIN).read(csv_file(tmp_path, f"time_s,{header}", TIME, ECG_LIKE))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_long_lines_of_a_header_are_refused(tmp_path, place):
    lines = ["a 1 100 400", "a.dat 16 1000/mV 16 0 0 0 0 II"]
    lines[place // 2] = lines[place // 2].replace("100", "1" * 2000) if place % 2 else "a" * 2000 + lines[place // 2]
    with pytest.raises(DataError, match=r"has a line of .* characters in its header") as caught:
        ECG(**PLAIN).read(wfdb_file(tmp_path, lines, [(1000 * ECG_LIKE, 1)]))
    assert len(str(caught.value)) < 200


def test_long_names_in_an_archive_make_short_messages(tmp_path):
    for arrays in ({"leads": np.array(["x" * 5000])}, {"y" * 5000: np.zeros(3)}):
        np.savez(tmp_path / "a.npz", ecg=ECG_LIKE, **arrays)
        with pytest.raises(DataError) as caught:
            ECG(**PLAIN).read(tmp_path / "a.npz")
        assert len(str(caught.value)) < 300


def test_many_columns_take_no_time_and_no_page(tmp_path):
    header = ",".join(f"c{n}" for n in range(20_000))
    (tmp_path / "a.csv").write_text(f"{header}\n" + f"{','.join('1' * 20_000)}\n" * 3)
    with pytest.raises(DataError, match="c19 and 19980 more") as caught:
        ECG(**PLAIN).read(tmp_path / "a.csv")
    assert len(str(caught.value)) < 300


def test_reading_raises_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signal = ECG_LIKE.copy()
        signal[:3] = -32768
        signal[5] = np.nan
        gaps_as_nan(np.stack([signal, np.full(400, 999.0)]))
