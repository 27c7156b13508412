"""Tables of numbers as people save them: one meaning is read, two are refused."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_vae import DataError
from multimodal_vae.names import MISSING
from multimodal_vae.tables import read_table

NAN = np.nan
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1")
cells = st.one_of(st.just(NAN), st.integers(-(10**6), 10**6), st.floats(-1e4, 1e4).map(lambda x: round(x, 4)))


def saved(folder, text, encoding="utf-8"):
    path = folder / "a.csv"
    path.write_bytes(text.encode(encoding))
    return path


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    columns=st.integers(2, 5),
    header=st.booleans(),
    separator=st.sampled_from(",;\t"),
    comma=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]),
    encoding=st.sampled_from(ENCODINGS),
    said=st.booleans(),
    trailing=st.booleans(),
    missing=st.sampled_from(sorted(MISSING)),
)
def test_every_way_of_saving_one_table_reads_the_same(
    tmp_path_factory, data, columns, header, separator, comma, newline, encoding, said, trailing, missing
):
    rows = data.draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=5))
    rows.append([0.25] * columns)  # shows which mark is the decimal one
    names = [f"µ{column}" for column in range(columns)]
    texts = [[missing if x != x else f"{x:.10g}".replace(".", "," if comma else ".") for x in row] for row in rows]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=newline)
    writer.writerows([[*row, ""] if trailing else row for row in ([names] if header else []) + texts])
    text = f"sep={separator}{newline}" * said + file.getvalue() + separator * columns + newline
    table = read_table(saved(tmp_path_factory.getbasetemp(), text, encoding))
    expected = np.array(rows, dtype=float)
    while expected.shape[1] > 1 and not header and np.isnan(expected[:, -1]).all():
        expected = expected[:, :-1]
    first = 0
    while not header and first < len(expected) and not any(texts[first]):  # a blank row
        first += 1
    np.testing.assert_array_equal(table.values, expected[first:])
    assert table.header == (names if header else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x;y\n0,5;1.5\n", "decimal points and commas, such as '0,5'"),
        ("x;y\n1.234,5;2\n", "line 2 has '1.234,5'"),
        ("x;y\n1,234;2,345\n", "commas that may mark decimals or thousands, such as '1,234'"),
        ('x,y\n"1,234","2,345"\n', "decimals or thousands"),
        ("x;y\n1,234,567;1\n", "line 2 has '1,234,567'"),
        ("1,2\n0,00,0,125\n", "line 2 has 4 cells.*if commas are decimal marks"),
        ("sep=;\nx;y\n1;2\n3;b\n", "line 4 has 'b'"),
        ("x,y\n1,2\n\n3\n", "line 4 has 1 cells"),
        ("x,y\n1,1e\n", "line 2 has '1e'"),
        ("x,y\n", "holds no numbers"),
        ("", "holds no numbers"),
        ("\n\n", "holds no numbers"),
        ("sep=;\n", "holds no numbers"),
        ("x\ty\0\n", "NUL characters; save it as UTF-8"),
    ],
)
def test_text_with_two_meanings_or_none_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(saved(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_wide_characters_without_their_mark_are_refused(tmp_path, encoding):
    with pytest.raises(DataError, match="save it as UTF-8"):
        read_table(saved(tmp_path, "x,y\n1,2\n", encoding))


@pytest.mark.parametrize("text", ["Überwachung,y\n1,2\n", "x,y\n1,2\n3,é\n"])
@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "mac-roman", "cp1250"])
def test_letters_of_an_unknown_encoding_are_refused(tmp_path, text, encoding):
    with pytest.raises(DataError, match="unknown encoding; save it as UTF-8"):
        read_table(saved(tmp_path, text, encoding))


def test_a_blank_row_is_a_gap_only_between_rows_that_it_could_belong_to(tmp_path):
    for text, expected in (
        ("x,y\n1,2\n\n3,4\n\n", [[1, 2], [3, 4]]),
        ("x,y\n1,2\n,\n3,4\n,\n", [[1, 2], [NAN, NAN], [3, 4]]),
        ("x\n1\n\n3\n\n\n", [[1], [NAN], [3]]),
        ('x\n1\n""\n3\n', [[1], [NAN], [3]]),
    ):
        np.testing.assert_array_equal(read_table(saved(tmp_path, text)).values, expected)


def test_numbers_in_the_header_follow_the_tables_decimal_mark(tmp_path):
    table = read_table(saved(tmp_path, "p;226,50;1,042\n180;0,5;0,25\n"))
    np.testing.assert_array_equal(table.header_numbers, [NAN, 226.5, 1.042])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('0123456789,;.\t\n\r"-+eE sp=N/aµ\0', max_size=40).map(str.encode))
def test_any_bytes_are_a_table_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        values = read_table(path).values
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017  (either is right)
    else:
        assert values.ndim == 2
        assert values.size


def test_the_typographic_minus_is_a_minus(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n\N{MINUS SIGN}1,5;2\n3;\N{MINUS SIGN}4\n", "utf-8")
    np.testing.assert_array_equal(read_table(tmp_path / "a.csv").values, [[-1.5, 2], [3, -4]])


@pytest.mark.parametrize("separator", [" ", "|", "  ", " | ", ":"])
def test_other_separators_are_refused_with_advice(tmp_path, separator):
    (tmp_path / "a.csv").write_text(f"a{separator}b\n1.5{separator}2\n", "utf-8")
    with pytest.raises(DataError, match=r"line 2 has .*, which is not a number; separate the cells by commas"):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize(("header", "row", "count"), [("a", "1,5", 2), ("a,b,c", "1,5", 2), ("a;b", "1;2;3", 3)])
def test_names_and_columns_are_as_many(tmp_path, header, row, count):
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n{row}\n", "utf-8")
    with pytest.raises(DataError, match=f"names in its first row and {count} columns below; make them equal"):
        read_table(tmp_path / "a.csv")
