"""Figures of sets of samples show the numbers of numpy, in the order and the units of the modality."""

import numpy as np
import pytest
import torch

import multimodal_vae as mv


def texts(ax):
    return [each.get_text() for each in ax.texts]


def labels(ax):
    return [each.get_text() for each in ax.get_yticklabels()]


TABLE = mv.Table(
    columns={
        "age": "count",
        "sex": {"type": "binary", "words": ["f", "m"]},
        "crp": {"type": "positive", "unit": "mg/l"},
        "side": {"type": "categorical", "words": ["left", "right", "both"]},
    }
)


def test_a_table_shows_medians_and_ranges_of_numbers_and_shares_of_words():
    torch.manual_seed(0)
    real, generated = TABLE.examples(50), TABLE.examples(30)
    real[:20, 2] = torch.nan
    generated[:10, 1] = torch.nan
    numbers, words = TABLE.plot_sets({"real": real, "generated": generated}).axes
    assert labels(numbers) == ["age", "crp (mg/l)"]
    low, middle, high = np.nanquantile(real[:, 2].numpy(), [0.05, 0.5, 0.95])
    assert texts(numbers)[1] == f"{middle:.3g} ({low:.3g} to {high:.3g})"
    assert labels(words) == ["sex = m", "side = left", "side = right", "side = both"]
    share = float((generated[10:, 1] == 1).float().mean())
    assert texts(words)[4] == f"{100 * share:.0f} %"
    assert [bar.get_width() for bar in words.patches][4] == pytest.approx(share)


def test_the_axis_is_in_standard_deviations_of_the_first_set():
    real = torch.tensor([[0.0], [10.0]])
    (ax,) = mv.Vector(size=1).plot_sets({"real": real, "generated": real + 5}).axes
    places = [
        each.get_offsets()[0, 0]
        for each in ax.collections
        if len(each.get_offsets()) == 1 and each.get_label() in ("real", "generated")
    ]
    assert places == [0.0, 1.0]
    assert texts(ax) == ["5 (0.5 to 9.5)", "10 (5.5 to 14.5)"]


def test_of_many_elements_those_that_differ_most_are_shown():
    real = torch.zeros(4, 100) + torch.arange(4.0)[:, None]
    other = real.clone()
    other[:, 7::10] += 9
    (ax,) = mv.Vector(size=100).plot_sets({"real": real, "generated": other}).axes
    assert set(labels(ax)) >= {f"element {number}" for number in range(7, 100, 10)}
    assert len(labels(ax)) == 24
    assert ax.get_title(loc="right") == "24 of 100, whose medians differ most"


def test_a_column_that_is_always_missing_and_one_that_never_varies_are_drawn():
    table = mv.Table(columns={"a": "real", "b": "real"})
    real = torch.tensor([[torch.nan, 2.0]] * 3)
    (ax,) = table.plot_sets({"real": real, "generated": real}).axes
    assert texts(ax) == ["missing", "2 (2 to 2)"] * 2


def test_names_are_no_formulas():
    table = mv.Table(columns={"$\\frac$": "real"})
    figure = table.plot_sets({"real": table.examples(2)})
    figure.canvas.draw()
    assert labels(figure.axes[0]) == ["$\\frac$"]


def test_categories_are_shown_as_shares_of_the_expected_category():
    part = mv.Categorical(categories=["left", "right"])
    (ax,) = part.plot_sets({"real": torch.tensor([[1.0, 0.0], [0.5, 0.5]]), "generated": torch.eye(2)}).axes
    assert texts(ax) == ["75 %", "25 %", "50 %", "50 %"]


def test_a_signal_shows_its_median_and_range_over_time():
    part = mv.Signal(length=16, channels=2)
    samples = part.examples(40)
    first, second = part.plot_sets({"real": samples, "generated": samples + 9}).axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("channel 1", "channel 2")
    assert second.get_xlabel().startswith("point in time")
    np.testing.assert_allclose(second.lines[0].get_ydata(), np.median(samples[:, 1].numpy(), 0), rtol=1e-6)


@pytest.mark.parametrize("part", [mv.Image(size=(8, 8), channels=1), mv.Volume(size=(4, 4, 4), width=4)])
def test_pictures_are_not_compared_by_their_elements(part):
    assert part.plot_sets({"real": part.examples(2)}) is None
