"""The picture of a study: accuracy and area under the curve of each reader."""

import io
import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from multimodal_vae.study.result import ALL, Score

_PANELS = {"accuracy": "accuracy: share of right answers", "auc": "AUC: right answers and confidence"}


def draw_readers(scores: Sequence[Score]) -> bytes:
    """Draw the scores over all items as points with 95 % intervals, readers below their mean, as a PNG file."""
    whole = [score for score in scores if not score.by and score.metric in _PANELS]
    names = list(dict.fromkeys(score.reader for score in whole))
    figure = Figure(figsize=(9, 1.6 + 0.34 * len(names)), dpi=144, layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for ax, (metric, title) in zip(panels, _PANELS.items(), strict=True):
        for score in (each for each in whole if each.metric == metric and math.isfinite(each.value)):
            place, mean = names.index(score.reader), score.reader == ALL
            style = {"color": "#0067b8" if mean else "#47525e", "linewidth": 2.4 if mean else 1.4}
            if score.interval:
                ax.plot(score.interval, [place, place], **style)
            ax.plot(score.value, place, "D" if mean else "o", color=style["color"], markersize=7 if mean else 5)
            ax.axvline(score.chance, color="#b3500b", linestyle="--", linewidth=1, zorder=0)
        ax.set_xlim(-0.02, 1.02)
        ax.set_title(title, fontsize=10)
        ax.grid(axis="x", color="#d0d7de", linewidth=0.6)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("points with 95 % intervals; dashed: guessing", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
