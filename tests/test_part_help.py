"""The help of a part names and explains its settings, and its table in a recipe is that of the part."""

import inspect
import re
import tomllib
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.part_help import part_help

ENTRIES = registry.entries()


def table_in(text: str) -> dict[str, Any]:
    """Return the innermost table of the part in its help."""
    (table,) = tomllib.loads(text.partition("In a recipe:\n")[2]).values()
    while "name" not in table:
        (table,) = table.values() if isinstance(table, dict) else table
    return table


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind} {entry.name}")
def test_the_help_explains_every_setting_and_shows_a_table_that_makes_the_part(entry):
    part: Any = registry.load(entry.kind, entry.name)
    text = part_help(part)
    for name in inspect.signature(part).parameters:
        (words, meaning) = re.findall(rf"^  {name} \((.+)\)\n {{6}}(.+)$", text, re.MULTILINE)[0]
        assert not words.startswith("any value")
        assert meaning
    table = table_in(text)
    assert part.of(table).configuration == table
    assert "``" not in text
    assert ":class:" not in text


class Sieve(mv.MetricLoss):
    """A loss of this session, without an example.

    Args:
        holes: their number.
        shape: as
            :class:`~multimodal_vae.objective.Objective` says, or *round*.
    """

    def __init__(
        self,
        holes: Annotated[int, Field(gt=1, le=9)],
        shape: Literal["round", "square"] | None = None,
        widths: dict[str, tuple[float, float]] = {},  # noqa: B006
        inner: mv.DensitySampler | None = None,
    ) -> None:
        super().__init__()

    def forward(self, latents, labels):
        return latents.sum()


def test_a_part_without_an_example_has_its_required_settings_named(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    mv.register(Sieve)
    assert part_help(Sieve).split("\n") == [
        "metric-loss sieve",
        "",
        "A loss of this session, without an example.",
        "",
        "Settings:",
        "  holes (whole number above 1 and of at most 9; required)",
        "      their number.",
        '  shape ("round" or "square")',
        "      as Objective says, or round.",
        "  widths (table: list of 2: number; default {})",
        "  inner (sampler, its name or table)",
        "",
        "In a recipe:",
        "  [model.metric_loss]",
        '  name = "sieve"',
        "  holes = ...  # whole number above 1 and of at most 9",
    ]


def test_plugins_explains_a_part_by_its_name_and_lists_those_of_a_kind(mmvae):
    status, out, err = mmvae("plugins", "kde")
    assert (status, out, err) == (0, part_help(mv.KDE) + "\n", "")
    assert mmvae("plugins", "sampler", "kde")[1] == out
    assert mmvae("plugins", "metric-loss", "triplet")[1].startswith("metric-loss triplet\n")
    listed = mmvae("plugins", "metric-loss")[1].splitlines()[1:]
    assert [line.split()[1] for line in listed] == [entry.name for entry in registry.entries("metric_loss")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kdee"], "did you mean 'kde'"),
        (["sampler", "tripelt"], "there is no sampler 'tripelt'"),
        (["smapler", "kde"], "is no kind of part"),
        (["sampler", "kde", "gmm"], "give a kind, a name, or a kind and a name"),
    ],
)
def test_plugins_says_what_is_unknown(mmvae, words, said):
    status, out, err = mmvae("plugins", *words)
    assert (status, out) == (2, "")
    assert said in err


def test_plugins_asks_for_the_kind_of_a_name_that_two_kinds_have(mmvae, monkeypatch):
    twin = next(entry for entry in ENTRIES if entry.name == "kde")
    monkeypatch.setattr(registry, "entries", lambda _kind=None: [twin, replace(twin, kind="fusion")])
    status, _, err = mmvae("plugins", "kde")
    assert status == 2
    assert "mmvae plugins KIND kde" in err
