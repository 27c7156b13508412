"""Figures show what they are given, for any modality, and touch nothing global."""

import matplotlib
import pytest
import torch

import multimodal_vae as mv
from figures import gallery_figure, latent_figure, mean_difference, means_figure, pairs_figure

MODALITIES = {
    "picture": mv.Image(size=(8, 8), channels=3, width=4),
    "signal": mv.Signal(length=16, channels=2, width=4),
    "blood": mv.Vector(size=3),
    "side": mv.Categorical(categories=["left", "right"]),
}
CLASSES = ["well", "ill"]


@pytest.fixture
def samples() -> dict[str, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {
        label: {name: torch.rand(6, *part.shape, generator=generator) for name, part in MODALITIES.items()}
        for label in CLASSES
    }


def test_pairs_have_a_row_a_modality_and_a_column_a_sample(samples):
    figure = pairs_figure(MODALITIES, samples, samples, columns=2)
    assert len(figure.axes) == len(MODALITIES) * len(CLASSES) * 2 * 2
    titles = [ax.get_title() for ax in figure.axes[:8]]
    assert titles == [f"{label}\n{side}" for label in CLASSES for side in ("original", "generated") for _ in range(2)]


@pytest.mark.parametrize("name", MODALITIES)
def test_a_gallery_has_a_row_a_class(samples, name, tmp_path):
    figure = gallery_figure(MODALITIES[name], {label: part[name] for label, part in samples.items()}, columns=3)
    assert len(figure.axes) == 3 * len(CLASSES)
    figure.savefig(tmp_path / "gallery.png")  # drawing raises no warning


def test_the_means_are_the_means(samples):
    pictures = {label: part["picture"] for label, part in samples.items()}
    figure = means_figure(MODALITIES["picture"], pictures, {label: x / 2 for label, x in pictures.items()}, columns=2)
    row = figure.axes[:4]
    for ax, expected in ((row[2], pictures["well"].mean(0) / 2), (row[3], pictures["well"].mean(0))):
        shown = torch.tensor(ax.images[0].get_array().data)
        torch.testing.assert_close(shown, expected.permute(1, 2, 0))


def test_one_scale_is_drawn_where_a_modality_names_its_colors(samples):
    class Map(mv.Image):
        def plot(self, sample, ax):
            ax.imshow(sample[0].numpy(), label="strength")

    part = Map(size=(8, 8), channels=1, width=4)
    figure = gallery_figure(part, {label: torch.rand(2, 1, 8, 8) for label in CLASSES}, columns=2)
    assert [ax.get_ylabel() for ax in figure.axes].count("strength") == 1


def test_the_latent_map_shows_every_embedding_under_its_class():
    latents, labels = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    (ax,) = latent_figure(latents, labels, CLASSES).axes
    assert [len(points.get_offsets()) for points in ax.collections] == [20, 20]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["well (20)", "ill (20)"]


def test_the_difference_of_means_is_absolute_and_by_element():
    first, second = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    assert mean_difference(first, second) == 2.0


def test_figures_leave_matplotlib_as_it_was(samples):
    before = dict(matplotlib.rcParams)
    gallery_figure(MODALITIES["blood"], {label: part["blood"] for label, part in samples.items()}, columns=2)
    assert dict(matplotlib.rcParams) == before
