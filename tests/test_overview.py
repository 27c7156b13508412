"""Objects describe themselves in a few lines, as text and as a table, and draw their samples."""

import copy
from html.parser import HTMLParser

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.plots import SIDE
from multimodal_vae.scopes import seeded


@pytest.fixture
def data(make_data):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[:5, 1] = False
    return make_data(24, present=present)


@pytest.fixture
def synthesizer(data, make_model):
    return mv.Synthesizer(make_model(data).eval(), "gaussian").fit(data)


class _Cells(HTMLParser):
    """The texts of a page, and the tags that it holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_data(self, text: str) -> None:
        self.texts.append(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_a_data_set_gives_its_counts_and_what_is_missing(data):
    assert repr(data).split("\n") == [
        "MultimodalDataset: 24 samples of 24 patients",
        "  classes: ill 12, well 12",
        "  modality blood: vector, 3",
        "  modality gait: vector, 2; missing in 5",
        "  missing cells: 5 of 48",
    ]


def test_a_model_is_a_few_lines(data, make_model):
    vae = make_model(data)
    weights = sum(x.numel() for x in vae.parameters())
    lines = repr(vae).split("\n")
    assert lines[0] == f"MultimodalVAE: {weights:,} weights"
    assert "  modality gait: vector, 2" in lines
    assert len(lines) < 10


def test_a_synthesizer_gives_its_densities_and_the_classes_without(make_data, make_model, data):
    few = data.subset([row for row in range(24) if row % 2 or row == 0])
    vae = make_model(data).eval()
    assert "none yet; call fit" in repr(mv.Synthesizer(vae))
    with pytest.warns(mv.MultimodalVAEWarning, match="'ill' has no density"):
        fitted = mv.Synthesizer(vae, "gaussian").fit(few)
    assert "densities: well 12" in repr(fitted)
    assert "without a density: ill" in repr(fitted)


def test_a_run_gives_its_state_and_its_splits_once_they_are_read(trained):
    run = mv.open_run(trained)
    assert "training: done, 2 of 2 epochs" in repr(run)
    assert "samples:" not in repr(run)
    assert run.splits
    assert f"samples: train {len(run.splits['train'])}" in repr(run)


def test_generated_samples_are_a_dictionary_that_describes_itself(synthesizer):
    samples = synthesizer.sample("ill", 6, seed=1)
    with seeded(1):
        latents = synthesizer.latents("ill", 6)
    plain = synthesizer.decode(latents, "ill", seed=1)
    assert isinstance(samples, dict)
    assert list(samples) == list(plain)
    assert all(torch.equal(samples[name], plain[name]) for name in plain)
    assert repr(samples).split("\n") == [
        "6 generated samples of class ill; synthetic, not for diagnosis",
        "  modality blood: 3",
        "  modality gait: 2",
    ]
    assert copy.deepcopy(samples).label == "ill"


def test_the_table_holds_the_same_and_no_tag_of_a_name(data, make_model):
    hostile = copy.copy(data)
    hostile.classes = ["<img src=x>", "a\x1b[31m"]
    for each in (hostile, make_model(data), mv.Synthesizer(make_model(hostile))):
        cells = _Cells(each._repr_html_())
        assert cells.tags == {"table", "caption", "tr", "th", "td"}
        title, *lines = repr(each).split("\n")
        assert cells.texts[0] == title
        assert [f"  {name}: {text}" for name, text in zip(cells.texts[1::2], cells.texts[2::2], strict=True)] == lines
        assert "\x1b" not in repr(each)


def test_samples_are_drawn_with_their_modalities_side_by_side_and_each_class_begins_a_row(data, synthesizer, trained):
    run = mv.open_run(trained)
    for figure, samples, columns in (
        (data.plot(), 4, 4),
        (data.plot(count=1), 2, 2),
        (synthesizer.sample("ill", 9, seed=0).plot(3), 3, 4),
        (synthesizer.plot(count=1), 2, 2),
        (run.plot(count=2), 4, 4),
    ):
        assert len(figure.axes) == 2 * samples
        assert figure.get_figwidth() == pytest.approx(columns * SIDE)
        names = [[each.get_text() for each in ax.texts] for ax in figure.axes]
        assert names[:columns] == names[:2] * (columns // 2)
        assert names[0] != names[1]
        assert not any(names[columns:])
    titles = [ax.get_title("left") for ax in data.plot(count=3).axes]
    assert titles == ["ill", *[""] * 3, "ill", "", "well", *[""] * 3, "well", ""]
    assert data.plot()._repr_png_().startswith(b"\x89PNG")


def test_pictures_that_are_wider_than_high_take_less_height():
    vectors, wide = {"x": mv.Vector(size=2)}, {"x": mv.Image(size=(4, 16), channels=1)}
    flat, square = (
        mv.MultimodalDataset.from_tensors({"x": torch.rand(2, *part["x"].shape)}, ["a", "b"], part).plot()
        for part in (wide, vectors)
    )
    assert flat.get_figheight() == pytest.approx(2 * (SIDE / 4 + 0.3) + 0.2)
    assert square.get_figheight() == pytest.approx(2 * (SIDE + 0.3) + 0.2)


def test_an_absent_modality_stays_empty_and_nothing_is_no_figure(data):
    figure = data.subset([0, 1, 20]).plot()
    assert [bool(ax.patches) for ax in figure.axes] == [True, False, True, True, True, False]
    with pytest.raises(mv.DataError, match="no sample to plot"):
        data.subset([]).plot()
    with pytest.raises(mv.ConfigurationError, match="count"):
        data.plot(0)


def test_unlabeled_samples_are_counted_and_drawn(make_data):
    vectors = {"x": mv.Vector(size=2)}
    data = mv.MultimodalDataset.from_tensors({"x": torch.rand(3, 2)}, [None] * 3, vectors)
    assert "3 unlabeled" in repr(data)
    assert len(data.plot(2).axes) == 2
