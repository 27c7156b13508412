"""Figures of the paper, for any modalities and classes; each function returns a figure and changes no global state."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from multimodal_vae import Modality
from multimodal_vae.plots import SampleFigure

Samples = Mapping[str, Tensor]
"""(N, *shape) by modality."""

INCHES = 1.5
"""Side of one panel."""


def pairs_figure(
    modalities: Mapping[str, Modality],
    originals: Mapping[str, Samples],
    generated: Mapping[str, Samples],
    columns: int = 2,
) -> Figure:
    """Draw original samples beside generated ones, one row per modality, as in the paper's Figure 1.

    Args:
        modalities: by name.
        originals: samples by class.
        generated: samples by class.
        columns: number of original and of generated samples per class; the first ones are drawn.
    """
    figure, axes = _grid(len(modalities), 2 * columns * len(originals))
    for block, label in enumerate(originals):
        for side, (title, source) in enumerate((("original", originals[label]), ("generated", generated[label]))):
            for index in range(columns):
                column = (2 * block + side) * columns + index
                for row, (name, modality) in enumerate(modalities.items()):
                    modality.plot(source[name][index], axes[row][column])
                axes[0][column].set_title(f"{label}\n{title}", fontsize=9)
    _finish(figure, axes)
    return figure


def gallery_figure(modality: Modality, samples: Mapping[str, Tensor], columns: int = 10) -> Figure:
    """Draw samples of one modality, one row per class, as in the paper's Figure 4.

    Args:
        modality: the modality.
        samples: (N, *shape) by class.
        columns: number of samples per class; the first ones are drawn.
    """
    figure, axes = _grid(len(samples), columns)
    for row, (label, x) in enumerate(samples.items()):
        for column in range(columns):
            modality.plot(x[column], axes[row][column])
        axes[row][0].set_title(label, fontsize=9, loc="left")
    _finish(figure, axes)
    return figure


def means_figure(
    modality: Modality, originals: Mapping[str, Tensor], generated: Mapping[str, Tensor], columns: int = 5
) -> Figure:
    """Draw generated samples, their class mean, and that of the originals, as in the paper's Figure 5.

    Args:
        modality: the modality.
        originals: (N, *shape) by class.
        generated: (N, *shape) by class.
        columns: number of generated samples per class.
    """
    figure, axes = _grid(len(originals), columns + 2)
    for row, label in enumerate(originals):
        for column in range(columns):
            modality.plot(generated[label][column], axes[row][column])
        modality.plot(generated[label].mean(0), axes[row][columns])
        modality.plot(originals[label].mean(0), axes[row][columns + 1])
        titles = (0, "generated"), (columns, "mean generated"), (columns + 1, "mean original")
        for column, title in titles:
            axes[row][column].set_title(f"{label}, {title}", fontsize=8, loc="left")
    _finish(figure, axes)
    return figure


def latent_figure(latents: Tensor, labels: Tensor, classes: Sequence[str], seed: int = 0) -> Figure:
    """Draw embeddings in two dimensions by t-SNE, colored by class, as in the paper's Figure 3.

    Args:
        latents: (N, latent_dim), N at least 3.
        labels: (N,), indices into ``classes``.
        classes: names of the classes.
        seed: of the t-SNE.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(latents) - 1) / 3)
    flat = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(latents.numpy())
    figure = SampleFigure(figsize=(5, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for index, (name, marker) in enumerate(zip(classes, _MARKERS * len(classes), strict=False)):
        points = flat[(labels == index).numpy()]
        ax.scatter(points[:, 0], points[:, 1], s=14, marker=marker, label=f"{name} ({len(points)})", alpha=0.8)
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    ax.legend(frameon=False)
    return figure


_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]  # classes differ without color too


def mean_difference(first: Tensor, second: Tensor) -> float:
    """Return the mean absolute difference of two class means, in the modality's unit.

    Example:
        >>> import torch
        >>> mean_difference(torch.zeros(4, 2), torch.ones(3, 2))
        1.0
    """
    return float((first.mean(0) - second.mean(0)).abs().mean())


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = SampleFigure(figsize=(INCHES * columns + 0.8, INCHES * rows + 0.6), layout="constrained")
    axes: list[list[Axes]] = figure.subplots(rows, columns, squeeze=False).tolist()
    return figure, axes


def _finish(figure: Figure, axes: list[list[Axes]]) -> None:
    """Label the grid's outer axes only, and add one color bar where a modality labels its colors."""
    labeled: Any = None  # matplotlib's images and collections share no typed base with a label
    flat = list(chain.from_iterable(axes))
    for ax in flat:
        ax.tick_params(labelsize=7)
        ax.tick_params(axis="x", rotation=90)
        ax.label_outer()
        artists = [each for each in (*ax.collections, *ax.images) if not str(each.get_label()).startswith("_")]
        labeled = artists[0] if artists else labeled
    if labeled is not None:
        figure.colorbar(labeled, ax=flat, label=labeled.get_label(), fraction=0.02, pad=0.01)
