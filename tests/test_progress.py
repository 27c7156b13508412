"""Bars of long work: on a terminal or in a notebook, for whoever asked for them, and gone at the end."""

import io
import re
import sys
from types import ModuleType

import pytest
import torch
from rich.console import Console

from multimodal_vae import notebook
from multimodal_vae.loggers.console import Console as Logger
from multimodal_vae.progress import is_shown, shown, track
from multimodal_vae.training.display import Display
from multimodal_vae.training.settings import Length


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


@pytest.fixture
def drawn(monkeypatch):
    """What a notebook draws: one list per output of the cell, with what it had in turn."""
    outputs = []

    class Handle:
        def update(self, data, raw):
            assert raw
            outputs[-1].append(data)

    def display(data, raw, display_id):
        assert raw
        assert display_id
        outputs.append([data])
        return Handle()

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(notebook, "INTERVAL", 0.0)
    return outputs


def cell():
    return Console(file=io.StringIO(), force_jupyter=True)


def test_in_a_notebook_one_output_changes_and_is_empty_at_the_end(drawn):
    with shown(cell()):
        for _ in track([1, 2], "numbers <b>"):
            assert list(track("ab", "letters")) == ["a", "b"]
    (output,) = drawn
    assert any("numbers <b>" in each["text/plain"] and "2/2" in each["text/plain"] for each in output)
    assert any("numbers &lt;b&gt;" in each["text/html"] for each in output)
    assert not any("<b>" in each["text/html"] for each in output)
    assert output[-1] == {"text/plain": "", "text/html": ""}


def test_an_error_in_a_notebook_ends_the_bars(drawn):
    with pytest.raises(ZeroDivisionError), shown(cell()):
        list(map((1).__truediv__, track([1, 0], "numbers")))
    assert not is_shown()
    assert drawn[0][-1]["text/plain"] == ""


def test_one_line_of_a_training_stays_in_a_notebook(drawn):
    screen = cell()
    with Display(Length(batches=20, per_epoch=10), torch.device("cpu"), screen, what="the training") as display:
        for batch in range(12):
            display.update(1 + batch // 10, {"loss": 0.5, "kl": 1.0, "reconstruction.image": 1 / 3, "metric": 0.25})
    (output,) = drawn
    assert "12/20 batches" in output[-2]["text/plain"]
    line = r"the training: 12 of 20 batches in \d+ s; loss 0.5000, KL 1.0000, image 0.3333, metric 0.2500"
    assert re.fullmatch(line, output[-1]["text/plain"])
    assert screen.file.getvalue() == ""


def test_nothing_is_drawn_in_a_notebook_without_a_request(drawn):
    with Display(Length(batches=20, per_epoch=10), torch.device("cpu"), cell(), show=False) as display:
        display.update(1, {"loss": 0.5}, 12)
    assert not drawn


def test_no_line_per_epoch_is_printed_in_a_notebook(monkeypatch, capsys):
    monkeypatch.setattr("multimodal_vae.loggers.console.Screen", lambda **_: cell())
    logger = Logger()
    logger.open(None, {"training": {"epochs": 2}})
    logger.log(1, {"epoch": 1, "training.loss": 0.5})
    assert capsys.readouterr() == ("", "")
