"""The picture of an audit: the ROC curve of the strongest attack of each kind."""

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multimodal_vae.errors import printable, shorten
from multimodal_vae.privacy.result import DESCRIPTION, Curve, PrivacyResult
from multimodal_vae.privacy.verdict import WITHOUT_GENERATOR, attack_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "privacy.svg"
"""File of the picture, beside ``privacy.json``."""
RATE = 0.01
"""False positive rate that the picture marks."""

_COLORS = {"#0067b8": "c0", "#b3500b": "c1", "#0b7a4b": "c2", "#a8326e": "c3"}
_GRAY, _LIGHT, _WHITE = "#57606a", "#d0d7de", "#ffffff"
_VARIABLES = {**_COLORS, _GRAY: "soft", _LIGHT: "rule", _WHITE: "paper"}
"""Variables of a page that take the place of colors, by color."""
_STYLES: list[Any] = ["-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2))]
_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "audit",  # the same curves give the same bytes
    "font.size": 10,
    "text.parse_math": False,  # names may hold dollar signs
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], _GRAY),
}


def draw_curves(curves: Sequence[Curve], results: Sequence[PrivacyResult]) -> str:
    """Return a picture of ROC curves as SVG, one panel per set of patients, both axes logarithmic.

    The dots are the share of members that an attack recognizes at a false positive rate of 1 %. The legend has the area
    under each curve (AUC). Attacks without a generator are gray.

    Source: Carlini et al., *Membership inference attacks from first principles* (2022), figure 1.

    Args:
        curves: curves of an audit, at least one.
        results: its results.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = {who: [each for each in curves if each.who == who] for who in dict.fromkeys(each.who for each in curves)}
    heights = [4.2 + 0.2 * len(panel) for panel in panels.values()]  # inches; a line of the legend per curve
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # one that is missing here is there where the text is shown
        whole = top = sum(heights)
        figure = Figure(figsize=(5.4, whole), facecolor=_WHITE)
        for (who, panel), height in zip(panels.items(), heights, strict=True):
            ax = figure.add_axes((0.14, (top - 3.4) / whole, 0.81, 3.1 / whole))
            _draw_panel(ax, panel, results)
            if len(panels) > 1:
                ax.set_title(DESCRIPTION[who], loc="left", fontsize=10)
            top -= height
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def describe_curves(curves: Sequence[Curve], results: Sequence[PrivacyResult]) -> str:
    """Return the text alternative of the picture."""
    several = len({each.who for each in curves}) > 1
    parts = [f"{_label(curve, results, several)}, {_at(curve, RATE):.0%} recognized" for curve in curves]
    return f"ROC curves of attacks; members recognized at 1 % false positives: {'; '.join(parts)}."


def for_page(svg: str) -> str:
    """Return a picture for the inside of a page, whose variables of color it takes."""
    svg = re.sub(r"<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)  # it would hold for the page
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable}, {color})")
    return svg


def _draw_panel(ax: "Axes", curves: Sequence[Curve], results: Sequence[PrivacyResult]) -> None:
    positive = [rate for curve in curves for rate in curve.false_positive_rates if rate > 0]
    low = min(0.5 * RATE, 0.5 * min(positive, default=1.0))  # the place of 0
    ax.plot([low, 1], [low, 1], color=_LIGHT, linewidth=1.5, label="chance: AUC 0.5")
    ax.axvline(RATE, color=_GRAY, linewidth=0.8, linestyle=":")
    ax.annotate(
        f"{100 * RATE:g} % false positives", (RATE, 1), (3, -3), textcoords="offset points", va="top", fontsize=8
    )
    attacks = [curve for curve in curves if curve.name not in WITHOUT_GENERATOR]
    for curve in curves:
        number = attacks.index(curve) if curve in attacks else None
        color = _GRAY if number is None else list(_COLORS)[number % len(_COLORS)]
        style = _STYLES[1 + (curve.name == WITHOUT_GENERATOR[0]) if number is None else number % len(_STYLES)]
        x, y = ([max(rate, low) for rate in of] for of in (curve.false_positive_rates, curve.true_positive_rates))
        width = 1.0 if number is None else 1.8
        label = _label(curve, results)
        ax.step([low, *x], [y[0], *y], where="post", color=color, linestyle=style, linewidth=width, label=label)
        ax.plot(RATE, max(_at(curve, RATE), low), "o", color=color, markersize=4 if number is None else 6)
    ax.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1.05))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
    ax.minorticks_off()
    ax.set_xlabel("others taken for members (false positives)")
    ax.set_ylabel("members recognized (true positives)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", bbox_to_anchor=(-0.14, -0.14), frameon=False, fontsize=9, handlelength=3)


def _at(curve: Curve, rate: float) -> float:
    """Return the share of members that are recognized at a false positive rate."""
    pairs = zip(curve.false_positive_rates, curve.true_positive_rates, strict=True)
    return max((true for false, true in pairs if false <= rate + 1e-9), default=0.0)


def _label(curve: Curve, results: Sequence[PrivacyResult], several: bool = False) -> str:
    key = (curve.who, curve.space, f"membership/{curve.name}")
    result = next((each for each in results if (each.who, each.space, each.name) == key), None)
    if result is None:
        return shorten(printable(f"{curve.name} in {curve.space}"))
    interval = f" ({result.interval[0]:.2f} to {result.interval[1]:.2f})" if result.interval else ""
    words = shorten(printable(attack_words(result))) + f", {curve.who}" * several
    return f"{words}: AUC {result.value:.2f}{interval}"
