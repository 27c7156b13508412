"""TOML is read with bounded time and memory, whatever it is."""

import os
import tomllib

import pytest

from multimodal_vae.toml import DEEPEST, LARGEST, TOMLError, parse_toml, read_toml

GOOD = """title = "a.b.c.d"
numbers = [1, 2.5, -9223372036854775808, 9223372036854775807]
[a.b."c d".'e']
x = { y = { z = [[1], [2]] } }
"""

HOSTILE = {
    "arrays": ("x = " + "[" * 5000, "32 levels"),
    "arrays with a value": ("x = " + "[" * 40 + "1" + "]" * 40, "32 levels"),
    "tables": ("x = " + "{a = " * 5000, "32 levels"),
    "arrays of tables": ("x = " + "[{a = " * 20 + "1" + "}]" * 20, "32 levels"),
    "digits": ("x = " + "9" * 5000, "64 bits"),
    "bits": ("x = [[9223372036854775808]]", "64 bits"),
    "key": (".".join("a" * 20_000) + " = 1", "32 parts"),
    "key with blanks": (" . ".join("a" * 20_000) + " = 1", "32 parts"),
    "key in quotes": (".".join(['"a b"', "'c'"] * 10_000) + " = 1", "32 parts"),
    "header": ("[" + ".".join("a" * 20_000) + "]", "32 parts"),
    "key in a table": ("x = {" + ".".join("a" * 20_000) + " = 1}", "32 parts"),
    "not TOML": ("x = ", "Invalid value"),
}


def test_what_is_good_is_read_as_by_the_standard_library():
    assert parse_toml(GOOD) == tomllib.loads(GOOD)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_in_one_line(name):
    text, words = HOSTILE[name]
    with pytest.raises(TOMLError, match=words) as caught:
        parse_toml(text)
    assert len(str(caught.value).splitlines()) == 1


def test_the_deepest_key_is_read():
    assert parse_toml(".".join("a" * DEEPEST) + " = 1")
    with pytest.raises(TOMLError):
        parse_toml(".".join("a" * (DEEPEST + 1)) + " = 1")


def test_a_file_may_begin_with_a_byte_order_mark_and_have_other_line_ends(tmp_path):
    path = tmp_path / "a.toml"
    for content in (b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode()):
        path.write_bytes(content)
        assert read_toml(path) == tomllib.loads(GOOD)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"")
    os.truncate(path, LARGEST + 1)
    with pytest.raises(OSError, match="bytes") as caught:
        read_toml(path)
    assert "at most 1,048,576" in caught.value.strerror


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b'x = "\xff"')
    with pytest.raises(TOMLError, match=r"not UTF-8 .* at byte 5"):
        read_toml(path)
