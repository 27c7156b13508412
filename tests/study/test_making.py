"""A study's page asks about balanced items, and tells nobody the truth before the answers are saved."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.errors import ConfigurationError, RunError
from multimodal_vae.study.items import choose_items, choose_real, even_shares
from multimodal_vae.study.key import KEY, PAGE, read_study
from multimodal_vae.study.making import make_study
from multimodal_vae.study.page import draw_items, study_page
from multimodal_vae.study.teaching import PER_CLASS, SIMILAR, prepare_lesson


def data_of(page):
    return json.loads(re.search(r'id="study">(.*?)</script>', page, re.DOTALL)[1])


def test_items_are_balanced_by_source_and_class(trained):
    run = mv.open_run(trained)
    items = choose_items(run.synthesizer(), run.splits["test"], 8, 0)
    assert len(items.samples) == 8
    assert Counter(zip(items.real, items.samples.labels.tolist(), strict=True)) == {
        (source, label): 2 for source in (True, False) for label in (0, 1)
    }
    held_out = run.splits["test"].samples["blood"]
    rows = [bool((held_out == x).all(1).any()) for x in items.samples.values["blood"]]
    assert rows == items.real
    again, other = (choose_items(run.synthesizer(), run.splits["test"], 8, seed) for seed in (0, 1))
    assert torch.equal(again.samples.values["photo"], items.samples.values["photo"])
    assert not torch.equal(other.samples.values["photo"], items.samples.values["photo"])


def test_real_items_are_of_different_patients_where_there_are_enough(make_data):
    patients = ["p0"] * 12 + [f"p{row}" for row in range(12, 24)]
    data = make_data(24, patients=patients)
    for seed in range(10):
        rows = choose_real(data, {0: 5, 1: 5}, torch.Generator().manual_seed(seed))
        assert len({*rows}) == 10
        assert sum(data.patients[row] == "p0" for row in rows) <= 1
        assert Counter(data.labels[rows].tolist()) == {0: 5, 1: 5}
    assert len(choose_real(data, {0: 12, 1: 0}, torch.Generator())) == 12
    with pytest.raises(RunError, match="'ill' has 12 complete held-out samples, and this study needs 13"):
        choose_real(data, {0: 13, 1: 0}, torch.Generator())


def test_incomplete_samples_are_no_items(make_data):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[:20, 0] = False
    data = make_data(24, present=present)
    assert {*choose_real(data, {0: 2, 1: 2}, torch.Generator())} == {20, 21, 22, 23}


def test_the_page_is_the_same_whatever_the_truth_is(trained, tmp_path):
    run = mv.open_run(trained)
    study = make_study(run, tmp_path / "study", "turing", 8, with_real=True)
    assert read_study(tmp_path / "study") == study
    page = (tmp_path / "study" / PAGE).read_text("utf-8")
    other = replace(study, sources=study.sources[::-1], labels=study.labels[::-1])
    assert study.sources != other.sources
    assert study_page(other, run.model.modalities, data_of(page)["items"]) == page
    assert data_of(page).keys() == {"study", "modalities", "answers", "items"}
    assert "This file holds data of patients" in page
    for name in (*run.data.ids, *run.data.patients):
        assert f'"{name}"' not in page
        assert f",{name}\r" not in (tmp_path / "study" / KEY).read_text("utf-8")


def test_the_page_loads_nothing_and_runs_its_own_script_alone(trained, tmp_path):
    make_study(mv.open_run(trained), tmp_path / "study", "diagnosis", 4)
    page = (tmp_path / "study" / PAGE).read_text("utf-8")
    assert "All samples in this file are synthetic" in page
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[\w+/=]+", "", page))
    script = re.search(r"<script>(.*)</script>\n</body>", page, re.DOTALL)[1]
    allowed = re.search(r"script-src 'sha256-([\w+/=]+)'", page)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == allowed
    assert page.count("data:image/webp") == 4 * 2


def test_names_from_the_data_are_text_and_no_markup(trained, tmp_path):
    study = make_study(mv.open_run(trained), tmp_path / "study", "diagnosis", 4)
    hostile = "=</script><img src=x>"
    renamed = replace(study, record={**study.record, "classes": [hostile, "well"]})
    page = study_page(renamed, {"<b>": mv.Vector(size=3)}, [["data:,"]] * 4)
    assert hostile not in page
    assert "<b>" not in page
    assert data_of(page)["answers"][0] == {"text": hostile, "cell": f"'{hostile}"}


def test_a_page_that_teaches_holds_the_truth_and_synthetic_samples_alone(trained, tmp_path):
    run = mv.open_run(trained)
    study = make_study(run, tmp_path / "study", "turing", 8, with_real=True, teach=True)
    lesson = data_of((tmp_path / "study" / PAGE).read_text("utf-8"))["lesson"]
    assert [study.options[each] for each in lesson["truth"]] == study.sources
    assert [lesson["classes"][each] for each in lesson["labels"]] == study.labels
    assert lesson["like"] == [1, 0]
    assert [len(rows) for rows in lesson["similar"]] == [SIMILAR] * 8
    assert len(lesson["signs"]) == 2


def test_similar_samples_are_the_nearest_and_means_those_of_the_pool(trained):
    run = mv.open_run(trained)
    items = choose_items(run.synthesizer(), None, 4, 0)
    lesson = prepare_lesson(run.synthesizer(), items, 0)
    assert len(lesson.pool) == 2 * PER_CLASS
    torch.testing.assert_close(lesson.means[1]["blood"], lesson.pool.values["blood"][PER_CLASS:].mean(0))
    twins = replace(items, samples=lesson.pool.take([5, 70]), real=[False, False])
    assert [rows[0] for rows in prepare_lesson(run.synthesizer(), twins, 0).similar] == [5, 70]


def test_a_table_is_drawn_against_all_items_so_that_its_class_does_not_show(trained, monkeypatch):
    run = mv.open_run(trained)
    items = choose_items(run.synthesizer(), None, 4, 0)
    cohorts = []
    monkeypatch.setattr(mv.Vector, "against", lambda self, cohort: cohorts.append(cohort) or self)
    draw_items(run.model.modalities, items)
    assert torch.equal(cohorts[0], items.samples.values["blood"])


def test_what_cannot_be_a_study_is_refused(trained, tmp_path):
    run = mv.open_run(trained)
    with pytest.raises(ConfigurationError, match="beside synthetic ones; allow them in the page with --with-real"):
        make_study(run, tmp_path / "a", "turing", 8)
    for count in (1, 501):
        with pytest.raises(ConfigurationError, match="2 to 500 items"):
            make_study(run, tmp_path / "a", "diagnosis", count)
    with pytest.raises(ConfigurationError, match="half real and half synthetic"):
        make_study(run, tmp_path / "a", "diagnosis", 7, with_real=True)
    with pytest.raises(ConfigurationError, match="do not give each of the 2 classes one"):
        make_study(run, tmp_path / "a", "diagnosis", 2, with_real=True)
    with pytest.raises(RunError, match="lower --count"):
        make_study(run, tmp_path / "a", "turing", 200, with_real=True)
    with pytest.raises(RunError, match="test or validation samples, not 'train' ones"):
        make_study(run, tmp_path / "a", "turing", 8, with_real=True, split="train")
    with pytest.raises(ConfigurationError, match="kind"):
        make_study(run, tmp_path / "a", "touring", 8)
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").touch()
    with pytest.raises(RunError, match="already exists"):
        make_study(run, tmp_path / "b", "diagnosis", 4)


def test_shares_are_even():
    assert even_shares(6, [0, 2]) == {0: 3, 2: 3}


def test_the_command_says_whom_each_file_is_for(trained, tmp_path, mmvae):
    code, out, err = mmvae("study", "make", trained, "--kind", "diagnosis", "--count", 4, "--out", tmp_path / "study")
    assert code == 0, err
    assert f"give to readers: {tmp_path / 'study' / PAGE}\nkeep from them: {tmp_path / 'study' / KEY}" in out
    code, _, err = mmvae("study", "make", trained, "--kind", "turing", "--out", tmp_path / "other")
    assert (code, "--with-real" in err) == (2, True)
