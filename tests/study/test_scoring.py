"""Answers are read with their faults named, and their scores are those that are computed by hand."""

import csv
import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from multimodal_vae.errors import DataError, RunError
from multimodal_vae.study.answers import COLUMNS, missing_words, read_answers
from multimodal_vae.study.key import FILE, KEY, Study, StudyRecord, read_study, write_key
from multimodal_vae.study.measuring import measure_answers
from multimodal_vae.study.result import ALL
from multimodal_vae.study.scoring import PICTURE, RESULTS, TABLE

CLASSES = ["ill", "=well"]


def study(kind="turing", sources="rrss", labels="0101", teach=False):
    record = StudyRecord(
        version=1,
        study="abc",
        kind=kind,
        classes=CLASSES,
        teach=teach,
        split="test",
        sampler="kde",
        seed=0,
        weights_sha256="",
        date="",
        with_version="",
    )
    return Study(
        record, [{"r": "real", "s": "synthetic"}[each] for each in sources], [CLASSES[int(each)] for each in labels]
    )


@pytest.fixture
def write(tmp_path) -> Callable:
    """Write the answers of a reader: item, answer and confidence each."""

    def make(name, *rows, mark=",", header=COLUMNS, of="abc"):
        path = tmp_path / f"answers-{name}.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, delimiter=mark)
            table.writerow(header)
            table.writerows([of, *row, "2,5" if mark == ";" else 2.5, "2026-01-01T00:00:00Z"] for row in rows)
        return path

    return make


def score_of(scores, metric, reader=ALL, by="", group=""):
    (found,) = [
        each for each in scores if (each.metric, each.reader, each.by, each.group) == (metric, reader, by, group)
    ]
    return found


def test_a_turing_test_by_hand(write):
    first = write("a", (1, "real", 5), (2, "synthetic", 2), (3, "synthetic", 4), (4, "real", 1))
    second = write("b", (1, "real", 3), (2, "real", 3), (3, "synthetic", 3), (4, "synthetic", 3))
    answers = read_answers(study(), [first, second])
    scores = measure_answers(study(), answers, resamples=50)
    assert score_of(scores, "accuracy", "a").value == 0.5
    assert score_of(scores, "accuracy", "b").value == 1
    assert score_of(scores, "accuracy").value == 0.75
    # Signed confidence in synthetic: reader a -5, 2 | 4, -1; three of the four pairs are in order.
    assert score_of(scores, "auc", "a").value == 0.75
    assert score_of(scores, "auc").value == 0.875
    assert score_of(scores, "accuracy", "a", "source", "real").value == 0.5
    assert score_of(scores, "accuracy", ALL, "class", "=well").value == 0.5
    assert score_of(scores, "auc", "a", "class", "ill").value == 1
    # Agreement on items 1 and 3 of four; half of the answers are "real": (1/2 - 1/2) / (1 - 1/2).
    assert score_of(scores, "kappa").value == pytest.approx(0)
    assert score_of(scores, "accuracy").chance == 0.5
    low, high = score_of(scores, "accuracy").interval
    assert 0 <= low < 0.75 < high <= 1


def test_a_diagnosis_by_hand(write):
    asked = study("diagnosis", "ssrr", "0011")
    rows = [(1, "ill", 5), (2, "'=well", 1), (3, "'=well", 4), (4, "ill", 2)]
    answers = read_answers(asked, [write("a", *rows)])
    scores = measure_answers(asked, answers, resamples=20)
    assert score_of(scores, "accuracy").value == 0.5
    assert score_of(scores, "accuracy", ALL, "source", "real").value == 0.5
    assert score_of(scores, "accuracy", ALL, "class", "ill").value == 0.5
    expected = roc_auc_score([1, 1, 0, 0], [5, -1, -4, 2])
    assert score_of(scores, "auc", ALL, "class", "ill").value == expected
    assert score_of(scores, "auc").value == np.mean([expected, roc_auc_score([0, 0, 1, 1], [-5, 1, 4, -2])])
    assert not [each for each in scores if each.metric == "kappa"]


def test_the_interval_of_one_reader_ignores_the_others(write):
    first = write("a", (1, "real", 5), (2, "synthetic", 2), (3, "synthetic", 4), (4, "real", 1))
    second = write("b", (1, "real", 3), (2, "real", 3), (3, "synthetic", 3), (4, "synthetic", 3))
    together, alone = (
        measure_answers(study(), read_answers(study(), paths), seed=3) for paths in ([first, second], [first])
    )
    assert score_of(together, "accuracy", "a").interval == score_of(alone, "accuracy", "a").interval
    assert score_of(together, "accuracy", "b").interval is None


def test_missing_answers_are_counted_and_left_out(write):
    answers = read_answers(study(), [write("a", (1, "real", 5), (3, "real", 2))])
    assert missing_words(answers) == ["a left 2 of 4 items unanswered: 2, 4"]
    scores = measure_answers(study(), answers, resamples=20)
    assert (score_of(scores, "accuracy").value, score_of(scores, "accuracy").answers) == (0.5, 2)
    assert np.isnan(score_of(scores, "auc", ALL, "class", "=well").value)


def test_a_file_that_a_spreadsheet_saved_is_read(write):
    answers = read_answers(study(), [write("a", (1, "real", 5), mark=";")])
    assert answers.seconds[0, 0] == 2.5


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([(1, "real", 5)], {"of": "xyz"}, "line 2 belongs to the study 'xyz', not to 'abc'"),
        ([(1, "real", 5), (5, "real", 5)], {}, "line 3: there is no item '5'; items are 1 to 4"),
        ([("0", "real", 5)], {}, "there is no item '0'"),
        ([("²", "real", 5)], {}, "there is no item"),
        ([(1, "real", 5), (1, "real", 5)], {}, "line 3 answers item 1 for the second time"),
        ([(1, "reel", 5)], {}, "'reel' is no answer; did you mean 'real'"),
        ([(1, "real", 6)], {}, "the confidence is '6'; it must be 1 to 5"),
        ([], {}, "holds no answers"),
        ([(1, "real", 5)], {"header": COLUMNS[:3]}, "has no column 'confidence'"),
    ],
)
def test_a_fault_is_named_with_its_line(write, rows, options, message):
    with pytest.raises(DataError, match=message.replace("²", ".")):
        read_answers(study(), [write("a", *rows, **options)])


def test_the_same_answers_count_once(write, tmp_path):
    paths = [write("a", (1, "real", 5)), write("b", (1, "real", 5))]
    with pytest.raises(DataError, match="hold the same answers"):
        read_answers(study(), paths)
    with pytest.raises(DataError, match="same name"):
        read_answers(study(), [paths[0], paths[0]])
    with pytest.raises(DataError, match="cannot be read"):
        read_answers(study(), [tmp_path / "nothing.csv"])
    with pytest.raises(DataError, match="no files"):
        read_answers(study(), [])


def test_a_study_is_read_as_it_was_written_and_damage_is_refused(tmp_path):
    write_key(tmp_path, study())
    assert read_study(tmp_path) == study()
    for text in ("", "item,source,class\n", "item,source,class\n2,real,ill\n", "item,source,class\n1,reel,ill\n"):
        (tmp_path / KEY).write_text(text, "utf-8")
        with pytest.raises(RunError, match="damaged"):
            read_study(tmp_path)
    (tmp_path / KEY).unlink()
    with pytest.raises(RunError, match="cannot be read"):
        read_study(tmp_path)
    (tmp_path / FILE).write_text("{}", "utf-8")
    with pytest.raises(RunError, match="damaged"):
        read_study(tmp_path)


def test_the_command_writes_the_scores_and_says_what_limits_them(write, tmp_path, mmvae):
    write_key(tmp_path, study(teach=True))
    paths = [write("a", (1, "real", 5), (2, "real", 5), (3, "real", 4)), write("b", (2, "synthetic", 1))]
    code, out, err = mmvae("study", "score", tmp_path, *paths)
    assert code == 0, err
    assert "accuracy: 0.333" in out
    assert "accuracy, class ill: " in out
    assert "AUC, reader a: 1.000" in out
    assert "a left 1 of 4 items unanswered: 4" in err
    assert "fewer than 5 readers" in err
    assert "told the truth" in err
    written = json.loads((tmp_path / RESULTS).read_text("utf-8"))
    assert [reader["missing"] for reader in written["readers"]] == [1, 3]
    assert len(written["limitations"]) == 4
    with open(tmp_path / TABLE, newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(written["scores"])
    assert float(table[0]["value"]) == pytest.approx(written["scores"][0]["value"], rel=1e-5)
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    before = (tmp_path / RESULTS).read_bytes()
    assert mmvae("study", "score", tmp_path, *paths)[0] == 0
    assert (tmp_path / RESULTS).read_bytes() == before
