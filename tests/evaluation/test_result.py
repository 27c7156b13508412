import json
import math

import pytest

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.result import MetricResult, combine, table


def test_json_holds_all_of_it_and_nothing_that_is_not_json():
    result = MetricResult("a", math.nan, "lower", (0.1, math.inf), 0.5, None, 2, 0.25, {"spread": math.nan})
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == {
        "name": "a",
        "value": None,
        "aim": "lower",
        "interval": [0.1, None],
        "real": 0.5,
        "baseline": None,
        "seeds": 2,
        "spread": 0.25,
        "context": {"spread": None},
    }


def test_what_stands_beside_a_value_is_in_its_row():
    assert "spread image 0.400" in MetricResult("purity", 1.0, context={"spread image": 0.4}).row()
    assert (
        len({row.count("|") for row in table([MetricResult("a", 1.0), MetricResult("b", 2.0, real=1.0)]).splitlines()})
        == 1
    )


def test_small_values_are_not_shown_as_zero():
    assert "| 0.00012 |" in MetricResult("kernel distance", 0.000123).row()


def test_runs_become_means_with_the_spread_between_them():
    runs = [[MetricResult("a", v, interval=(v - 1, v + 1), real=2 * v, context={"s": v})] for v in (1.0, 2.0, 6.0)]
    (combined,) = combine(runs)
    assert combined.value == 3
    assert combined.interval == (2, 4)
    assert combined.real == 6
    assert combined.baseline is None
    assert combined.seeds == 3
    assert combined.spread == pytest.approx(7**0.5)
    assert combined.context == {"s": 3}


@pytest.mark.parametrize(
    "runs", [[], [[MetricResult("a", 1.0)], [MetricResult("b", 1.0)]], [[MetricResult("a", 1.0)], []]]
)
def test_runs_with_different_figures_are_refused(runs):
    with pytest.raises(DataError, match="different metrics"):
        combine(runs)
