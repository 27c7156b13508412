"""Bars of long work: on a terminal, for whoever asked for them, and gone at the end."""

import io

import pytest
from rich.console import Console

from multimodal_vae.progress import is_shown, shown, track


def console(terminal=True):
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system=None)


def test_items_are_counted_while_they_are_worked_on():
    screen, seen = console(), []
    assert not is_shown()
    with shown(screen):
        assert is_shown()
        for item in track("abc", "letters \x07[red]"):
            seen += [(item, number) for number in track([1, 2], "numbers")]
    assert seen == [(letter, number) for letter in "abc" for number in (1, 2)]
    drawn = screen.file.getvalue()
    assert "letters \\u0007[red]" in drawn
    assert "3/3" not in drawn.rpartition("letters")[2]  # the bar is gone


@pytest.mark.parametrize("screen", [None, console(terminal=False)])
def test_without_a_terminal_or_a_request_nothing_is_shown(screen, capsys):
    if screen is None:
        assert list(track([1, 2], "numbers")) == [1, 2]
    else:
        with shown(screen):
            assert list(track([1, 2], "numbers")) == [1, 2]
        assert screen.file.getvalue() == ""
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_items_of_known_number_are_counted_without_a_sequence():
    screen = console()
    with shown(screen):
        assert list(track(iter("ab"), "letters", total=2)) == ["a", "b"]
        assert list(track(iter("ab"), "letters")) == ["a", "b"]
    drawn = screen.file.getvalue()
    assert "0/2" in drawn
    assert "0/?" in drawn


def test_an_error_ends_the_bars_and_the_request():
    screen = console()
    with pytest.raises(ZeroDivisionError), shown(screen):
        list(map((1).__truediv__, track([1, 0], "numbers")))
    before = screen.file.getvalue()
    assert list(track([1], "later")) == [1]
    assert screen.file.getvalue() == before
