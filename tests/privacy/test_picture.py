"""The picture of an audit is a valid SVG file of its curves, whatever the names of modalities are."""

import xml.etree.ElementTree as ElementTree

import pytest

from multimodal_vae.privacy.picture import describe_curves, draw_curves, for_page
from multimodal_vae.privacy.result import Curve, PrivacyResult

CURVE = ([0.0, 0.004, 0.02, 1.0], [0.1, 0.2, 0.5, 1.0])
NAMES = ["blood", "a$b", "$\\frac$", "<b>&'\"", "\u5fc3\u7535\u56fe", "tab\there\x1b[31m", "x" * 300]


def result(name, space, who="train", value=0.7):
    return PrivacyResult(f"membership/{name}", value, interval=(0.6, 0.8), real=0.5, who=who, space=space)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_text(name):
    curves = [Curve("train", f"data/{name}", "distance", *CURVE), Curve("train", "features", "blind", *CURVE)]
    results = [result("distance", f"data/{name}")]
    svg = draw_curves(curves, results)
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]
    label = next(text for text in texts if text.startswith("distance in data/"))
    assert label.endswith(": AUC 0.70 (0.60 to 0.80)")
    assert len(label) <= 110
    assert "blind in features" in texts  # its result is unknown
    if name.isprintable() and len(name) < 50:
        assert f"distance in data/{name}:" in label
    assert svg == draw_curves(curves, results)


def test_each_set_of_patients_has_a_panel_and_a_page_gives_the_colors():
    curves = [Curve(who, "latent", "distance", *CURVE) for who in ("train", "fitted on")]
    svg = draw_curves(curves, [result("distance", "latent", who) for who in ("train", "fitted on")])
    assert all(f">the {words}" in svg for words in ("training set<", "set the densities were fitted on<"))
    page = for_page(svg)
    assert page.startswith("<svg")
    assert "<style" in svg
    assert "<style" not in page
    assert "var(--c0, #0067b8)" in page
    ElementTree.fromstring(page)


def test_the_text_alternative_says_who_is_recognized():
    curves = [Curve("train", "model", "reconstruction/blood", *CURVE)]
    assert describe_curves(curves, [result("reconstruction/blood", "model")]) == (
        "ROC curves of attacks; members recognized at 1 % false positives: the model's own reconstruction/blood: AUC "
        "0.70 (0.60 to 0.80), 20% recognized."
    )


def test_a_curve_has_as_many_rates_of_both_kinds():
    for rates in (([0.0], [0.0, 1.0]), ([], [])):
        with pytest.raises(ValueError, match="give equally many"):
            Curve("train", "data", "distance", *rates)
