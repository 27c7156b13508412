"""Names that differ only in form, names that are missing, and columns that are nearly named like others."""

import datetime
import math
import unicodedata
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.names import (
    MISSING,
    check_names,
    clean,
    form,
    is_missing_word,
    name_of,
    names_of,
    refuse_forms,
    refuse_near_columns,
    spelled,
)

WORDS = st.text(st.characters(categories=["Ll", "Lu"], max_codepoint=0x24F), min_size=1, max_size=6)
CHANGES = {
    "upper case": str.upper,
    "lower case": str.lower,
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "zero-width": lambda text: text[:1] + "\u200b" + text[1:],
    "soft hyphen": lambda text: text[:1] + "\u00ad" + text[1:],
    "byte order mark": lambda text: "\ufeff" + text,
    "control": lambda text: text + "\x00",
    "blank": lambda text: f" {text}\t",
    "no-break blank": lambda text: text + "\u00a0",
    "ideographic blank": lambda text: "\u3000" + text,
    "direction mark": lambda text: "\u200f" + text,
    "variation selector": lambda text: text + "\ufe0f",
    "quotes": lambda text: f'"{text}"',
    "apostrophe": lambda text: f"'{text}",
    "typographic quotes": lambda text: f"\u201c{text}\u201d",
    "bytes": lambda text: f"b'{text}'",
}


@pytest.mark.parametrize("change", CHANGES)
@given(words=st.lists(WORDS, min_size=1, max_size=3), number=st.integers(0, 999))
def test_a_name_in_another_form_has_the_same_key(change, words, number):
    name = "-".join([*words, str(number)])
    assert form(CHANGES[change](name)) == form(name)


@given(number=st.integers(0, 10**12), zeros=st.integers(0, 5), word=st.sampled_from(["", "p", "site-", "Ä"]))
def test_leading_zeros_do_not_make_another_name(number, zeros, word):
    assert form(f"{word}{'0' * zeros}{number}") == form(f"{word}{number}")
    assert form(f"{word} {number}") == form(f"{word}{number}")


@given(number=st.integers(0, 10**15), zeros=st.integers(0, 3))
def test_a_whole_number_has_one_key(number, zeros):
    texts = [str(number), f"{number}.{'0' * zeros}", f"+{number}.0", f"00{number}", str(float(number))]
    assert {form(text) for text in texts} == {form(str(number))}


@pytest.mark.parametrize(
    "names",
    [
        ["100000", "1e+05", "1.0E+05"],
        ["7", "\uff17", "\u0667", "\u096d"],
        ["AOM", "\u0410\u041e\u041c", "\u0391\u039f\u039c"],  # Cyrillic and Greek
        ["a-1", "a\u20131", "a\u20111"],
        ["otitis media", "otitis  media", "otitismedia", "Otitis\nmedia"],
        ["straße", "STRASSE"],
        ["\u00b5", "\u03bc"],
        ["m²", "m2"],
        ["O'Brien", "O\u2019Brien", "obrien"],
        ["+1", "1", "+1.0", "01"],
        ["ﬁn", "fin"],
    ],
)
def test_what_looks_alike_has_one_key(names):
    assert len({form(name) for name in names}) == 1
    with pytest.raises(mv.DataError, match="only in form") as caught:
        refuse_forms("labels", ["x", *names[:2], "y"], lambda row: f"row {row}")
    assert "row 1" in str(caught.value)
    assert "row 2" in str(caught.value)
    assert all(spelled(name) in str(caught.value) for name in names[:2])


@given(st.sets(st.integers(0, 10**9), max_size=30))
def test_other_numbers_are_other_names(numbers):
    refuse_forms("patients", [str(number) for number in numbers], str)
    refuse_forms("patients", [f"p{number}" for number in numbers], str)
    refuse_forms("patients", [f"{number:08x}" for number in numbers], str)


@pytest.mark.parametrize(
    "names",
    [
        ["1 1", "11", "1-1", "1_1", "1.1", "1.10", "1.01", "-1", "1"],
        ["H65.01", "H65.1", "H65.10", "H65"],  # codes of diseases
        ["a", "b", "ab", "ba"],
        ["1e5", "100000"],  # a hash may look like this
        ["10", "100", "1", "0"],
        ["", "x", ""],
        ["x", "x", "x"],
    ],
)
def test_what_is_clearly_different_is_accepted(names):
    refuse_forms("patients", names, str)


class Grade(Enum):
    ONE = 1

    def __str__(self):
        return "grade one"


class StrangersNA:
    """A missing value of a library that is not installed."""

    def __repr__(self):
        return "<NA>"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("ill ", "ill"),
        (np.str_("ill"), "ill"),
        (b" ill", "ill"),
        (np.bytes_("Ménière".encode()), "Ménière"),
        (7, "7"),
        (7.0, "7"),
        (np.float32(7), "7"),
        (np.int64(7), "7"),
        (torch.tensor(7), "7"),
        (torch.tensor([7.0]), "7"),
        (np.array("ill"), "ill"),
        (np.array([7]), "7"),
        (7.5, "7.5"),
        (True, "True"),
        (np.bool_(True), "True"),
        (Decimal("7"), "7"),
        (Grade.ONE, "grade one"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (None, ""),
        (math.nan, ""),
        (np.nan, ""),
        (np.float32("nan"), ""),
        (torch.tensor(math.nan), ""),
        (Decimal("nan"), ""),
        (np.datetime64("NaT"), ""),
        (np.ma.masked, ""),
        (StrangersNA(), ""),
        ("", ""),
        (" \t", ""),
        (b"", ""),
        ("NA", "NA"),  # a word: whoever reads names decides
    ],
)
def test_a_value_is_a_name_or_missing(value, name):
    assert name_of(value) == name


@pytest.mark.parametrize(
    "value", [[1], (1, 2), {"a": 1}, {1}, np.zeros(2), torch.zeros(3), 1j, np.complex64(1), b"\xff", [[]], np.zeros(0)]
)
def test_what_is_no_name_is_refused(value):
    with pytest.raises(mv.DataError, match="is not a name"):
        name_of(value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 1)), r"shape \(4, 1\).*labels\[:, 0\]"),
        (torch.zeros(4, 3), r"shape \(4, 3\).*labels.argmax\(1\)"),
        (np.zeros((4, 3, 2)), "shape"),
        (np.array(3), r"shape \(\)"),
        (torch.tensor(3), r"shape \(\)"),
        ("abab", "give a list"),
        (b"abab", "give a list"),
        (5, "give a list"),
        (None, "give a list"),
        ({"a", "b"}, "give a list"),
        ({"a": 1}, "give a list"),
        ([10**5000], "row 0.*not a name"),
        ([["a"], ["b"]], "row 0"),
        (["a", ["b"]], "row 1"),
    ],
)
def test_names_have_one_value_per_sample(values, words):
    with pytest.raises(mv.DataError, match=f"labels.*{words}"):
        names_of(values, "labels")


def test_names_of_masked_and_mixed_columns():
    assert names_of(np.ma.masked_array([1, 2, 3], [False, True, False]), "labels") == ["1", "", "3"]
    assert names_of(np.array([b"a", b"b"]), "labels") == ["a", "b"]
    assert names_of(np.array(["a", None, 1.0, np.nan], dtype=object), "labels") == ["a", "", "1", ""]
    assert names_of(iter(["a", 1]), "labels") == ["a", "1"]


def test_names_of_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    for kind, missing in (("string", pandas.NA), ("Int64", pandas.NA), ("float64", np.nan), ("object", pandas.NaT)):
        values = ["1", "2"] if kind == "string" else [1, 2]
        assert names_of(pandas.Series([values[0], missing, values[1]], dtype=kind), "labels") == ["1", "", "2"]
    assert names_of(pandas.Categorical(["a", None, "b"]), "labels") == ["a", "", "b"]
    with pytest.raises(mv.DataError, match="shape"):
        names_of(pandas.DataFrame({"a": [1, 2]}), "labels")


@pytest.mark.parametrize("word", sorted(MISSING - {""}))
def test_words_for_missing_values_are_known_in_any_case(word):
    for text in (word, word.upper(), word.capitalize()):
        assert is_missing_word(text)
        with pytest.raises(mv.DataError, match=r"row 1.*word for a missing value"):
            check_names("patient", ["p", text], lambda row: f"row {row}")


@pytest.mark.parametrize(
    "column",
    [
        "Patient_ID", "PatientID", "patientId", "patient id", "patient-id", "PATIENT_ID", "patient", "Patients",
        "PatientNo", "patient_nr", "patient_name", "patient_code", "id_patient", "subject_id", "SubjectID", "subject",
        "SUBJECT", "subj_id", "USUBJID", "participant", "participant_id", "Participant ID", "person_id", "individual",
        "proband_id", "donor_id",
        "pat_id", "PatID", "pid", "PTID", "MRN", "patinet_id", "patient_di", "pateint_id", "patientid", "patient_ids",
        "p\u0430tient_id", "patient_id\u200b",
    ],
)  # fmt: skip
def test_a_column_that_is_probably_the_patients_is_refused(column):
    with pytest.raises(mv.DataError, match="patient_id"):
        refuse_near_columns("column", ["sample_id", "label", column], ["sample_id", "label"])


@pytest.mark.parametrize(
    "column", ["Split", "SPLIT", "split ", "splits", "spilt", "splt", "Sample_ID", "sampleId", "Label", "LABEL"]
)
def test_a_column_that_is_probably_another_is_refused(column):
    with pytest.raises(mv.DataError, match="seems to be"):
        refuse_near_columns("column", ["sample_id", "label", column], ["sample_id", "label"])


@pytest.mark.parametrize(
    "column",
    ["patient_age", "patient_sex", "inpatient", "site", "fold", "date", "age", "case", "PT", "P", "subjective",
     "impression",
     "platform", "id", "visit", "side", "", "person_years", "position"],
)  # fmt: skip
def test_other_columns_are_metadata(column):
    refuse_near_columns("column", ["sample_id", "label", column], ["sample_id", "label"])


def test_with_the_patients_column_others_may_name_people_too():
    refuse_near_columns("column", ["sample_id", "label", "patient_id", "subject_id", "split", "splits"], ["label"])
    with pytest.raises(mv.DataError, match="'PatientID' seems to be 'patient_id'"):
        refuse_near_columns("column", ["sample_id", "label", "patient_id", "PatientID"], ["label"])


@given(st.text(max_size=8))
def test_any_text_has_a_form(text):
    assert form(text) == form(f" {text} ")
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "column", [" patient_id", "\ufeffpatient_id", "patient_id\u200b", "\u00a0patient_id ", "patient_id\x00"]
)
def test_a_columns_name_is_cleaned(column):
    assert clean(column) == "patient_id"
    assert clean("Me\u0301nie\u0300re") == "Ménière"
