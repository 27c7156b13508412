"""The pictures of a report: tiles of samples, training curves and the latent map."""

import base64
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydantic
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from multimodal_vae.errors import RunError
from multimodal_vae.files import read_regular
from multimodal_vae.loggers.jsonl import LONGEST_LOG
from multimodal_vae.modalities.base import Modality
from multimodal_vae.report.records import Evidence

Pixels = NDArray[np.uint8]
"""(height, width, 3)."""

_DPI = 96
_QUALITY = 82
BYTES_PER_PIXEL = 0.8
"""Upper bound of the size of a WebP picture of this quality, even of noise."""
BASE64 = 4 / 3

CHART_SIZE = (320, 170)
"""Width and height of a chart, in SVG units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 26

MAP_SIZE, _EDGE = (640, 460), 22
"""Width and height of the latent map, in SVG units, and its margin."""
TILE_SIDE = 72
COLUMNS = 20


def tiles(modality: Modality, samples: Iterable[Tensor], side: int) -> list[Pixels]:
    """Draw samples (*shape) without axes, (side, side, 3) each, by :meth:`Modality.plot`.

    All are drawn on one axis, since matplotlib takes five times as long to make an axis as to draw a picture on it.
    """
    figure = Figure(figsize=(side / _DPI, side / _DPI), dpi=_DPI, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    blank = {*figure.get_children(), *ax.get_children()}
    pictures = []
    for sample in samples:
        modality.plot(sample, ax)
        ax.set_axis_off()
        pictures.append(_pixels(figure))
        _erase(figure, ax, blank)
    return pictures


def _erase(figure: Figure, ax: Axes, blank: Collection[Artist]) -> None:
    """Undo what a plot did to an axis: remove all artists but those of the blank one, and reset scales and limits."""
    for artist in (*figure.get_children(), *ax.get_children()):
        if artist not in blank:
            artist.remove()
    ax.relim()
    for axis in (ax.xaxis, ax.yaxis):
        if axis.have_units():  # words or dates; clearing makes new ticks, which takes long
            axis.clear()
    ax.set(title="", aspect="auto", xscale="linear", yscale="linear", xlim=(0, 1), ylim=(0, 1), autoscale_on=True)
    ax.set_prop_cycle(None)


def with_axes(modality: Modality, sample: Tensor, width: int = 300, height: int = 250, scale: bool = True) -> Pixels:
    """Draw one sample as :func:`figure_with_axes` does."""
    return _pixels(figure_with_axes(modality, sample, width, height, scale))


def figure_with_axes(
    modality: Modality, sample: Tensor, width: int = 300, height: int = 250, scale: bool = True
) -> Figure:
    """Return a figure of one sample with axes, and with a color scale if the modality labels its colors.

    Args:
        modality: the sample's modality.
        sample: the sample, (*shape).
        width: width in pixels.
        height: height in pixels.
        scale: whether to add the color scale.
    """
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white", layout="compressed")
    ax = figure.add_subplot()
    modality.plot(sample, ax)
    ax.tick_params(labelsize=7)
    ax.xaxis.label.set_fontsize(8)
    ax.yaxis.label.set_fontsize(8)
    labeled = [artist for artist in (*ax.collections, *ax.images) if not str(artist.get_label()).startswith("_")]
    if scale and labeled:
        bar = figure.colorbar(labeled[0], ax=ax, fraction=0.05, pad=0.02)
        bar.set_label(str(labeled[0].get_label()), fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def compare(modality: Modality, sets: Mapping[str, Tensor]) -> Pixels | None:
    """Draw sets of samples (N, *shape) of a class by :meth:`Modality.plot_sets`; None if the modality compares none."""
    figure = modality.plot_sets(sets)
    if figure is None:
        return None
    figure.set(dpi=1.5 * _DPI, facecolor="white")
    return _pixels(figure)


def spread_picture(modality: Modality, spread: Tensor) -> tuple[Pixels, float]:
    """Draw a standard deviation (*shape) with axes; return it with the largest value.

    If the modality has a range, the spread is stretched over it.
    """
    largest = float(spread.max())
    if modality.range is None or largest <= 0:
        return with_axes(modality, spread), largest
    low, high = modality.range
    return with_axes(modality, low + (high - low) * spread / largest, scale=False), largest


def sheet(tiles: Sequence[Pixels], columns: int, gap: int = 0) -> Pixels:
    """Arrange tiles of one size in rows, with a gap between them, on white.

    Example:
        >>> sheet([np.zeros((4, 4, 3), np.uint8)] * 3, columns=2).shape
        (8, 8, 3)
    """
    side, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * (side + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, each in enumerate(tiles):
        top, left = index // columns * (side + gap), index % columns * (width + gap)
        whole[top : top + side, left : left + width] = each
    return whole


def data_uri(pixels: Pixels) -> str:
    """Return a picture as a data URI."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def affordable(most: int, tiles: int, side: int, budget: float) -> int:
    """Return how many items of some square tiles each fit a budget of bytes: at least one, at most ``most``.

    Example:
        >>> affordable(400, tiles=2, side=72, budget=1e9), affordable(400, tiles=20, side=72, budget=1e6)
        (400, 9)
    """
    return max(1, min(most, int(budget / (tiles * side * side * BYTES_PER_PIXEL * BASE64))))


def evenly(count: int, most: int) -> list[int]:
    """Return evenly spaced row numbers, at most ``most``.

    Example:
        >>> evenly(10, 3), evenly(2, 3)
        ([0, 4, 9], [0, 1])
    """
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist() if count else []


def _pixels(figure: Figure) -> Pixels:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


# Training curves


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name, its SVG path and its last value."""

    name: str
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """A chart of one term over the epochs, of size :data:`CHART_SIZE`.

    Attributes:
        title: name of the term.
        lines: one line per part of the data.
        rows: ticks of the vertical axis, height and text.
        columns: ticks of the horizontal axis, position and text.
    """

    title: str
    lines: Sequence[Line]
    rows: Sequence[tuple[float, str]]
    columns: Sequence[tuple[float, str]]

    @property
    def words(self) -> str:
        """Text alternative."""
        return f"{self.title} by epoch; at the end " + ", ".join(f"{line.name} {line.last}" for line in self.lines)


_LOG_LINE = pydantic.TypeAdapter(dict[str, float])


def read_log(path: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Read epochs and values from ``log.jsonl``, by term and part of the data; invalid lines are skipped."""
    log: dict[str, dict[str, list[tuple[float, float]]]] = {}
    try:
        lines = read_regular(path, LONGEST_LOG).splitlines() if path.exists() else []
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    for text in lines:
        with suppress(pydantic.ValidationError):
            line = _LOG_LINE.validate_json(text)
            for key, value in line.items() if math.isfinite(line.get("epoch", math.nan)) else ():
                part, dot, term = key.partition(".")
                if dot and math.isfinite(value):
                    log.setdefault(term, {}).setdefault(part, []).append((line["epoch"], value))
    return log


def chart(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    """Draw the curves of one term, as in :func:`read_log`.

    Example:
        >>> chart("loss", {"training": [(1, 2.0), (2, 1.0)]}).words
        'loss by epoch; at the end training 1'
    """
    points = [point for curve in curves.values() for point in curve]
    first, last = (pick(x for x, _ in points) for pick in (min, max))
    low, high = (pick(y for _, y in points) for pick in (min, max))
    wide, tall = (last - first) or 1.0, (high - low) or abs(high) or 1.0
    width, height = CHART_SIZE

    def x(value: float) -> float:
        return round(_LEFT + (width - _LEFT - _RIGHT) * (value - first) / wide, 1)

    def y(value: float) -> float:
        return round(height - _BOTTOM - (height - _TOP - _BOTTOM) * (value - low) / tall, 1)

    lines = [
        Line(name, "M" + " L".join(f"{x(epoch)},{y(value)}" for epoch, value in curve), f"{curve[-1][1]:.3g}")
        for name, curve in curves.items()
    ]
    levels = [low, low + tall / 2, low + tall]
    epochs = sorted({first, round((first + last) / 2), last})
    return Chart(title, lines, [(y(v), f"{v:.3g}") for v in levels], [(x(e), f"{e:g}") for e in epochs])


# The latent map


@dataclass(frozen=True)
class Point:
    """One held-out sample: its position, its class, and facts that identify nobody."""

    x: float
    y: float
    label: int
    facts: Mapping[str, str]

    @property
    def words(self) -> str:
        """Text alternative."""
        return "; ".join(f"{name} {value}" for name, value in self.facts.items())


@dataclass(frozen=True)
class LatentMap:
    """Held-out embeddings in two dimensions, of size :data:`MAP_SIZE`.

    Attributes:
        points: points in the order of the tiles.
        shares: share of the embeddings' variance along each axis.
        sheets: data URI of the decoded tiles of all points, per modality.
        rows: rows of tiles in each sheet.
        count: number of held-out samples; not all may be shown.
    """

    points: Sequence[Point]
    shares: tuple[float, float]
    sheets: Mapping[str, str]
    rows: int
    count: int


def latent_map(modalities: Mapping[str, Modality], evidence: Evidence, most: int) -> LatentMap:
    """Draw at most ``most`` embeddings in the plane of their first two principal components, which preserves scale."""
    rows = evenly(len(evidence.embeddings), most)
    scores, shares = _principal_plane(evidence.embeddings)
    scores = scores[rows]
    low, high = scores.min(0), scores.max(0)
    places = (scores - low) / np.where(high > low, high - low, 1)
    width, height = MAP_SIZE
    points = [
        Point(
            round(_EDGE + float(x) * (width - 2 * _EDGE), 1),
            round(height - _EDGE - float(y) * (height - 2 * _EDGE), 1),
            int(evidence.held_out.labels[row]),
            _facts(evidence, row),
        )
        for row, (x, y) in zip(rows, places, strict=True)
    ]
    sheets = {
        name: data_uri(sheet(tiles(part, evidence.reconstructions[name][rows], TILE_SIDE), COLUMNS))
        for name, part in modalities.items()
    }
    return LatentMap(points, shares, sheets, -(-len(rows) // COLUMNS), len(evidence.embeddings))


def _principal_plane(embeddings: Tensor) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the first two principal components of embeddings, (N, 2), and their shares of the variance."""
    x = embeddings.double().numpy()
    count = min(2, *x.shape)
    pca = PCA(count, svd_solver="full")
    scores = np.zeros((len(x), 2))
    if x.var() > 0:
        scores[:, :count] = pca.fit_transform(x)
    shares = [*getattr(pca, "explained_variance_ratio_", []), 0.0, 0.0]
    return scores, (float(shares[0]), float(shares[1]))


def _facts(evidence: Evidence, row: int) -> dict[str, str]:
    label, judged = int(evidence.held_out.labels[row]), int(evidence.judged[row])
    differences = {
        f"mean difference, {name}": f"{float((x[row] - evidence.held_out.values[name][row]).abs().nanmean()):.3g}"
        for name, x in evidence.reconstructions.items()
    }
    return {
        "class": evidence.classes[label],
        "class by the judge": evidence.classes[judged],
        **{column: groups[row] for column, groups in evidence.groups.items()},
        **differences,
    }
