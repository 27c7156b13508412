"""Names and paths that would command a terminal are shown as text."""

import csv
import unicodedata

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.data.loading import load_columns
from multimodal_vae.data.manifest import read_manifest
from multimodal_vae.errors import one_line, printable
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.loggers.console import metrics_line
from multimodal_vae.privacy.audit import audit
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.run_audit import print_audit
from multimodal_vae.report.samplers import as_table
from multimodal_vae.synthesis.comparison import HeldOutLikelihood

RED, C1, BIDI, LINE, BELL, DELETE = "\x1b[31m", "\x9b31m", "\u202e", "\u2028", "\x07", "\x7f"
HOSTILE = f"a{RED}{C1}{BIDI}{LINE}{BELL}{DELETE}\u2066\u200b\u2029\x85[red][/]\tb"
INNOCENT = ["ear", "Öhr, links", "耳", "أذن", "क्\u200dष", "👩\u200d⚕️", "a\xa0b", "e\u0301", "C:\\x1b"]


def commands(text):
    """Return the letters of printed text that a terminal does not just show."""
    joiners = "\u200c\u200d"
    return [x for x in text if x not in f"\n{joiners}" and unicodedata.category(x) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_every_control_character_becomes_an_escape():
    assert not commands(printable(HOSTILE))
    assert printable(HOSTILE).startswith("a\\u001b[31m\\u009b31m\\u202e\\u2028\\u0007\\u007f")
    assert printable("a\r\nmmvae: trained") == "a\\u000d\\u000ammvae: trained"
    assert printable(printable(HOSTILE)) == printable(HOSTILE)


@pytest.mark.parametrize("name", INNOCENT)
def test_names_of_all_languages_stay_as_they_are(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    "kind",
    [
        mv.ConfigurationError,
        mv.DataError,
        mv.PluginError,
        mv.RunError,
        mv.SamplerError,
        mv.TrainingError,
        mv.TrainingInterrupted,
        mv.MultimodalVAEWarning,
    ],
)
def test_a_message_is_one_line_without_commands(kind):
    said = str(kind(f"{HOSTILE}\nmmvae: forged\r"))
    assert not commands(said)
    assert "\n" not in said
    assert not commands(one_line(ValueError(HOSTILE)))


def test_terms_in_the_progress_are_without_commands():
    assert not commands(metrics_line({f"training.reconstruction.{HOSTILE}": 1.0}, "training."))


def test_the_progress_of_reading_takes_no_markup_from_names(tmp_path, capsys):
    name = f"[/]{RED}"
    with open(tmp_path / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sample_id", "label", name], ["s", "a", "1"]])
    rows = read_manifest(tmp_path / "manifest.csv", [name]).rows({name: ()})
    parts = {name: mv.Vector(size=1)}
    load_columns(tmp_path / "manifest.csv", rows, parts, False, 0, "refuse", True)
    assert RED not in capsys.readouterr().err


def test_the_table_of_samplers_is_plain_text(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    table = as_table([HeldOutLikelihood({"name": "kde"}, {"[red]a": 1.0}, {"b[/]": "too few"}, None)])
    assert "[red]a" in table
    assert not commands(table)


def test_the_table_of_an_audit_is_plain_text(capsys):
    torch.manual_seed(0)
    labels = torch.zeros(20, dtype=torch.int64)
    draw = lambda: Records(LabeledSamples({HOSTILE: torch.randn(20, 2), "x": torch.randn(20, 2)}, labels))  # noqa: E731
    print_audit(audit({"train": draw()}, draw(), draw(), resamples=20))
    assert not commands(capsys.readouterr().out)


@pytest.fixture
def hostile(trained):
    """The run and the data in folders of hostile names, with hostile names of samples."""
    folder = trained.parent.rename(trained.parent.with_name(f"run{RED}{BIDI}[red]"))
    with open(folder / "cohort" / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows[1:]):
        row[0] = f"s{number}{RED}{C1}{BIDI}{BELL}"
    with open(folder / "cohort" / "hostile.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_no_command_prints_an_escape_sequence(hostile, mmvae):
    run, manifest, out = hostile / "run", hostile / "cohort" / "hostile.csv", hostile / f"out{C1}"
    for command in (
        ["sample", run, "--count", 1, "--out", out / "1"],
        ["sample", run, "--count", 1, "--out", out / "1"],
        ["sample", run, "--label", HOSTILE, "--out", out / "2"],
        ["sample", run, "--sampler", HOSTILE, "--out", out / "2"],
        ["encode", run, manifest, "--out", out / "latents.npz"],
        ["encode", run, manifest, "--given", HOSTILE, "--out", out / "latents"],
        ["classify", run, manifest],
        ["classify", run, f"{manifest}{RED}"],
        ["translate", run, manifest, "--to", HOSTILE, "--out", out / "3"],
        ["interpolate", run, manifest, HOSTILE, "s1", "--out", out / "4"],
        ["samplers", run, "--sampler", "prior", "--split", HOSTILE],
        ["samplers", run, "--sampler", "prior", "--json"],
        ["evaluate", run, "--by", HOSTILE],
        ["evaluate", run, f"--{HOSTILE}"],
        ["card", run],
        ["audit", run, "--holdout", manifest],
        ["audit", hostile / HOSTILE.replace("/", "")],
        ["train", hostile / RED, "--out", run],
        ["check", "modality", HOSTILE],
        ["new", "modality", HOSTILE],
        [HOSTILE],
    ):
        code, said, err = mmvae(*command)
        assert code in (0, 2), err
        assert not commands(said + err), command
        assert len(err.splitlines()) == (code == 2), err


def test_a_table_on_standard_output_has_a_line_per_sample(hostile, mmvae):
    _, said, _ = mmvae("classify", hostile / "run", hostile / "cohort" / "hostile.csv")
    rows = list(csv.reader(said.splitlines()))
    assert rows[1][0] == "s0\\u001b[31m\\u009b31m\\u202e\\u0007"
    out = hostile / "probabilities.csv"
    assert mmvae("classify", hostile / "run", hostile / "cohort" / "hostile.csv", "--out", out)[0] == 0
    with open(out, newline="", encoding="utf-8") as file:
        exact = list(csv.reader(file))
    assert exact[1][0] == f"s0{RED}{C1}{BIDI}{BELL}"
    assert [row[1:] for row in exact] == [row[1:] for row in rows]
    assert np.isfinite([float(row[-1]) for row in rows[1:]]).all()
