"""Cutting beats out of WFDB records, on records made here: where R is, which intervals, which class, which side."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import beats
import multimodal_vae as mv
from beats import HISTORY, beats_of, cut_beats, write_beats
from multimodal_vae_ecg.wfdb_records import import_wfdb

wfdb = import_wfdb()
RATE = 360


def record(folder, name, seed=0, count=60):
    """A record of spikes at known places, each with an annotation, and some that are no beats."""
    rng = np.random.default_rng(seed)
    peaks = np.cumsum(rng.integers(250, 400, count))
    symbols = np.where(rng.random(count) < 0.3, "V", "N")
    time = np.arange(peaks[-1] + RATE)
    signal = 0.3 + sum(np.exp(-0.5 * ((time - peak) / 5) ** 2) for peak in peaks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wfdb 4.3 writes by what pandas 3.1 deprecates
        wfdb.wrsamp(
            name,
            fs=RATE,
            units=["mV", "mV"],
            sig_name=["MLII", "V5"],
            p_signal=np.stack([signal, -signal], 1),
            fmt=["212", "212"],
            adc_gain=[200.0, 200.0],
            baseline=[0, 0],
            write_dir=str(folder),
        )
        places = np.concatenate([peaks, peaks[::9] + 100])
        order = np.argsort(places)
        texts = np.concatenate([symbols, np.repeat("+", len(peaks[::9]))])[order]
        wfdb.wrann(name, "atr", places[order], symbol=texts.tolist(), fs=RATE, write_dir=str(folder))
    return peaks / RATE, symbols


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("100", "105", "200")):
        record(tmp_path, name, seed)
    return tmp_path


def test_beats_are_cut_at_r_with_their_intervals_and_class(tmp_path):
    peaks, symbols = record(tmp_path, "100")
    cut = beats_of(tmp_path, "100")
    kept = range(HISTORY + 1, len(peaks) - 1)
    assert cut["ecg"].shape == (len(kept), 1, 128)
    assert (np.abs(cut["ecg"][:, 0].argmax(1) - 51.2) <= 1).all()  # R at 0.4 s
    np.testing.assert_allclose(np.median(cut["ecg"], axis=2), 0, atol=1e-6)
    assert cut["ecg"].max() == pytest.approx(1, abs=0.05)
    assert (cut["y"] == (symbols[kept.start : kept.stop] == "V")).all()
    for row, beat in enumerate(kept):
        usual = np.median(np.diff(peaks)[beat - 11 : beat - 1])
        expected = [peaks[beat] - peaks[beat - 1], peaks[beat + 1] - peaks[beat]]
        np.testing.assert_allclose(cut["rhythm"][row], [*expected, *(np.array(expected) / usual)], rtol=1e-5)


def test_a_window_beyond_the_record_is_left_out():
    peaks = 0.3 + np.arange(30) * 0.8
    signal = np.zeros(round(128 * (peaks[20] + 0.5)))
    cut = cut_beats(signal, peaks, ["N"] * 30)
    assert len(cut["y"]) == 20 - (HISTORY + 1)
    assert cut_beats(signal, peaks[:5], ["N"] * 5)["ecg"].shape == (0, 1, 128)


def test_the_file_is_what_the_example_reads(folder, monkeypatch):
    monkeypatch.setattr(beats, "MOST", (20, 5))
    write_beats(folder / "beats.npz", folder)
    from recipe import read_beats

    train, test = read_beats(folder / "beats.npz")
    assert set(train.group) == {100, 200}
    assert set(test.group) == {105}
    for group in (100, 200):
        assert np.bincount(train.y[train.group == group]).tolist() == [20, 5]
    assert train.ecg.dtype == train.rhythm.dtype == np.float32
    configuration = mv.Configuration.read(Path(beats.__file__).parent / "beats.toml")
    assert len(train.dataset(configuration)) == 50


def test_the_same_beats_are_chosen_each_time(folder, monkeypatch):
    monkeypatch.setattr(beats, "MOST", (20, 5))
    for name in ("a.npz", "b.npz"):
        write_beats(folder / name, folder)
    with np.load(folder / "a.npz") as first, np.load(folder / "b.npz") as second:
        assert all((first[name] == second[name]).all() for name in first.files)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["100.hea", "200.hea"], "holds the records 105; it needs one of"),
        (["105.hea"], "holds the records 100, 200"),
        (["100.atr"], "record 100: there is no file .*100.atr"),
        (["200.dat"], "record 200: names the file '200.dat'"),
    ],
)
def test_what_is_missing_is_one_line(folder, lost, message, monkeypatch, capsys):
    for name in lost:
        (folder / name).unlink()
    monkeypatch.setattr(sys, "argv", ["beats.py", str(folder / "out.npz"), "--records", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        beats.main()
    said = " ".join(capsys.readouterr().err.split())
    assert stopped.value.code == 2
    assert re.search(message, said), said
    assert not (folder / "out.npz").exists()


def test_the_network_is_asked_only_when_the_user_asks(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(wfdb, "dl_database", lambda *names, **settings: calls.append((names, settings)))
    write_beats(folder / "a.npz", folder)
    assert not calls
    write_beats(folder / "b.npz", folder, download=True)
    ((names, settings),) = calls
    assert names == ("mitdb", str(folder))
    assert settings == {"records": list(beats.RECORDS), "annotators": ["atr"]}
