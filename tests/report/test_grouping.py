"""Groups are values of a column, or bands of a number, and never individuals."""

import pytest

import multimodal_vae as mv
from multimodal_vae.report.grouping import MAX_GROUPS, UNKNOWN, in_order, subgroups


@pytest.fixture
def data(make_data):
    found = make_data(40, patients=[f"p{row // 2}" for row in range(40)])
    found.metadata = {
        "camera": ["a", "b", " a", ""] * 10,
        "age": [str(row) for row in range(39)] + [""],
        "visit": ["2", "10"] * 20,
        "who": list(found.patients),
        "few": ["p1"] * 40,
    }
    return found


def test_values_are_groups_and_an_empty_cell_is_not_known(data):
    assert subgroups(data, "camera")[:4] == ["a", "b", "a", UNKNOWN]
    assert in_order(subgroups(data, "camera")) == ["a", "b", UNKNOWN]
    assert in_order(subgroups(data, "visit")) == ["2", "10"]


def test_numbers_of_many_values_are_cut_into_quarters_that_cover_all(data):
    groups = subgroups(data, "age")
    names = in_order(groups)
    assert names == ["below 10", "10 to below 19", "19 to below 28", "28 and above", UNKNOWN]
    for age, group in enumerate(groups[:39]):
        low, high = {"below 10": (0, 10), "10 to below 19": (10, 19), "19 to below 28": (19, 28)}.get(group, (28, 39))
        assert low <= age < high
    assert max(groups.count(name) for name in names[:4]) - min(groups.count(name) for name in names[:4]) <= 2


def test_extreme_values_are_not_told(data):
    assert not any("38" in name or name.startswith("0") for name in subgroups(data, "age"))


@pytest.mark.parametrize("column", ["who", "few"])
def test_a_column_that_tells_patients_apart_is_refused(data, column):
    assert len({*data.metadata["who"]}) > MAX_GROUPS
    with pytest.raises(mv.DataError, match="identify samples"):
        subgroups(data, column)


def test_missing_numbers_are_not_known_and_missing_words_are_refused(data):
    data.metadata["age"] = [str(row) if row % 4 else ("NA", "nan", "", "?")[row // 4 % 4] for row in range(40)]
    assert subgroups(data, "age").count(UNKNOWN) == 10
    data.metadata["visit"] = ["2", "10", "NA", None] * 10
    assert subgroups(data, "visit")[:4] == ["2", "10", UNKNOWN, UNKNOWN]
    data.metadata["camera"] = ["a", "b", "NA", ""] * 10
    with pytest.raises(mv.DataError, match=r"sample '2'.*'NA' is a word for a missing value"):
        subgroups(data, "camera")


@pytest.mark.parametrize(("first", "second"), [("Male", "male"), ("1", "01"), ("2", "2.0"), ("a b", "a\u00a0b")])
def test_values_that_differ_only_in_form_are_refused(data, first, second):
    data.metadata["camera"] = [first, second] * 20
    with pytest.raises(mv.DataError, match="differ only in form"):
        subgroups(data, "camera")


def test_blanks_around_a_columns_name_do_not_count(data):
    assert subgroups(data, " camera\u200b") == subgroups(data, "camera")


def test_a_column_that_is_not_there(data):
    with pytest.raises(mv.DataError, match="did you mean 'camera'"):
        subgroups(data, "camra")
