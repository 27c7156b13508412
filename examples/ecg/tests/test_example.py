"""The recipe, and the whole way in small: on made-up beats always, on real ones where there are any."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import example
import multimodal_vae as mv
import recipe
from metrics import balanced_accuracy, qrs_width, train_judge
from recipe import HERE, Beats, generate, read_beats

FOLDER = os.environ.get("MMVAE_TEST_DATA")
needs_beats = pytest.mark.skipif(not FOLDER, reason="MMVAE_TEST_DATA is unset")


def real_beats():
    return read_beats(Path(str(FOLDER)) / "mitbih_beats.npz")


def made_up(count=60, groups=4):
    """Narrow and wide beats, the wide ones early."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 2
    time = np.arange(128) / 128 - 0.4
    spread = np.where(y, 0.045, 0.015) * rng.uniform(0.8, 1.2, count)
    ecg = np.exp(-0.5 * (time / spread[:, None]) ** 2)[:, None]
    early = np.where(y, 0.6, 1.0) + 0.05 * rng.normal(size=count)
    rhythm = np.stack([0.8 * early, 0.8 * (2 - early), early, 2 - early], 1)
    return Beats(ecg.astype(np.float32), rhythm.astype(np.float32), y, np.arange(count) // 2 % groups)


def quick(epochs=2):
    configuration = mv.Configuration.read(HERE / "beats.toml")
    training = configuration.training.model_copy(update={"epochs": epochs})
    return configuration.model_copy(update={"training": training})


def save(beats, path, test):
    side = np.isin(beats.group, test)
    np.savez(
        path, **vars(beats), train=np.flatnonzero(~side).astype(np.int32), test=np.flatnonzero(side).astype(np.int32)
    )


def test_the_recipe_is_valid():
    configuration = mv.Configuration.read(HERE / "beats.toml")
    assert list(configuration.modalities) == ["ecg", "rhythm"]
    assert configuration.modalities["ecg"].shape == (1, 128)
    assert configuration.model.fusion.configuration["dropout"] == 0.3
    assert configuration.data.classes == recipe.CLASSES


def test_a_recording_on_both_sides_is_refused(tmp_path):
    beats = made_up()
    np.savez(tmp_path / "a.npz", **vars(beats), train=np.arange(30), test=np.arange(30, 60))
    with pytest.raises(mv.DataError, match="has recording 0 in train and in test"):
        read_beats(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", ecg=beats.ecg)
    with pytest.raises(mv.DataError, match=r"no array 'rhythm'; write it with examples/ecg/beats\.py"):
        read_beats(tmp_path / "b.npz")
    with pytest.raises(mv.DataError, match="there is no file"):
        read_beats(tmp_path / "c.npz")


def test_the_whole_way_leaves_tables_and_pictures(tmp_path, monkeypatch, capsys):
    save(made_up(100), tmp_path / "beats.npz", test=[3])  # enough for the recipe's batches
    text = (HERE / "beats.toml").read_text("utf-8")
    for setting, quick_setting in (("epochs = 50", "epochs = 2"), ("steps = 1200", "steps = 4")):
        assert setting in text
        text = text.replace(setting, quick_setting)
    (tmp_path / "quick.toml").write_text(text, "utf-8")
    words = ["example.py", tmp_path / "beats.npz", "--out", tmp_path / "out", "--recipe", tmp_path / "quick.toml"]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--count", "20"])
    reports = []
    for _ in range(2):  # the second time, what was trained is opened
        with pytest.raises(SystemExit) as stopped:
            example.main()
        assert not stopped.value.code
        reports.append(capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("run", "metrics.md", "ecg-generated.png", "ecg-from-rhythm.png", "ecg-to-rhythm.png")
    }
    assert reports[0] == reports[1] == (tmp_path / "out" / "metrics.md").read_text("utf-8")
    for words in ("Balanced accuracy", "Shape", "refined", "Gaussian per class", "QRS width, ms", "class mean"):
        assert words in reports[0]


@needs_beats
def test_real_beats_are_split_by_recording_and_judged_apart():
    train, test = real_beats()
    assert not set(train.group) & set(test.group)
    assert (test.y[test.group == 119].sum(), test.y.sum()) == (442, 529)
    widths = qrs_width(train.ecg[:, 0])
    assert np.median(widths[train.y == 0]) < 100 < np.median(widths[train.y == 1])


@needs_beats
def test_generated_beats_are_of_their_class_and_told_from_the_rhythm():
    train, test = real_beats()
    configuration = quick(epochs=8)  # with half as many, one training in three cannot translate yet
    train = train[::2]
    vae = recipe.train(train, configuration)
    new = generate(vae, train.dataset(configuration), 200, seed=0)
    judge = train_judge(train.ecg[:, 0], train.y)
    assert balanced_accuracy(np.repeat([0, 1], 200), judge.predict(new["ecg"])) > 0.85
    widths = qrs_width(new["ecg"])
    assert np.median(widths[200:]) > np.median(widths[:200]) + 15
    assert np.median(new["rhythm"][200:, 2]) < 0.9 < np.median(new["rhythm"][:200, 2])  # a PVC comes early
    translated = recipe.translate(vae, test)["ecg"]
    assert balanced_accuracy(test.y, judge.predict(translated)) > 0.65  # blind guessing has 0.5
