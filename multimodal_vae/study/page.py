"""``study.html``: one self-contained file that asks about each item, and holds no answer unless it teaches."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from torch import Tensor

from multimodal_vae.formulas import quote_formula
from multimodal_vae.modalities.base import Modality
from multimodal_vae.progress import track
from multimodal_vae.report import html
from multimodal_vae.report.pictures import data_uri, with_axes
from multimodal_vae.study.items import Items
from multimodal_vae.study.key import Study
from multimodal_vae.study.teaching import Lesson

CONFIDENCE = ("a guess", "unsure", "fairly sure", "sure", "certain")
"""The five-point scale, from 1."""
_SIZE = (480, 350)
"""Width and height of a picture in pixels: enough for a square plot with labels and a color scale."""


def draw_items(modalities: Mapping[str, Modality], items: Items) -> list[list[str]]:
    """Draw the pictures of each item, one data URI per modality; a table is drawn against all items."""
    values = items.samples.values
    parts = {name: part.against(values[name]) for name, part in modalities.items()}
    return [
        [_picture(part, values[name][row]) for name, part in parts.items()]
        for row in track(range(len(items.samples)), "drawing items")
    ]


def draw_lesson(modalities: Mapping[str, Modality], items: Items, lesson: Lesson) -> dict[str, Any]:
    """Draw what a page that teaches shows after an answer: class means, and samples similar to each item.

    Returns:
        By name: ``signs``, pictures of each class; ``like``, the place of the class most like each class; ``pool``,
        class and pictures of each similar sample; ``similar``, the places in the pool of those similar to each item.
        Classes are given by their places.
    """
    parts = {name: part.against(items.samples.values[name]) for name, part in modalities.items()}
    used = sorted({row for rows in lesson.similar for row in rows})
    place = {row: index for index, row in enumerate(used)}
    pool = [
        {
            "class": lesson.labels.index(int(lesson.pool.labels[row])),
            "pictures": [_picture(part, lesson.pool.values[name][row]) for name, part in parts.items()],
        }
        for row in track(used, "drawing similar samples")
    ]
    return {
        "signs": [[_picture(part, means[name]) for name, part in parts.items()] for means in lesson.means],
        "like": lesson.like,
        "pool": pool,
        "similar": [[place[row] for row in rows] for rows in lesson.similar],
    }


def _picture(modality: Modality, sample: Tensor) -> str:
    return data_uri(with_axes(modality, sample, *_SIZE))


def study_page(
    study: Study,
    modalities: Mapping[str, Modality],
    pictures: list[list[str]],
    lesson: dict[str, Any] | None = None,
) -> str:
    """Return the page.

    Args:
        study: the study; the page holds its key only if it teaches.
        modalities: the modalities.
        pictures: pictures of each item, as :func:`draw_items` returns them.
        lesson: as :func:`draw_lesson` returns it, if the page teaches.
    """
    data: dict[str, Any] = {
        "study": study.record["study"],
        "modalities": [*modalities],
        "answers": [{"text": each, "cell": quote_formula(each)} for each in study.options],
        "items": pictures,
    }
    if lesson is not None:
        classes = study.record["classes"]
        truth = [study.options.index(each) for each in study.truth]
        labels = [classes.index(each) for each in study.labels]
        data["lesson"] = lesson | {"classes": classes, "truth": truth, "labels": labels}
    script, own_style = (html.template_text(name, __package__) for name in ("study.js", "study.css"))
    return (
        html.environment(__package__)
        .get_template("study.html")
        .render(
            record=study.record,
            modalities=modalities,
            answers=study.options,
            confidence=CONFIDENCE,
            data=data,
            count=len(pictures),
            style=Markup(html.style_with_controls(own_style)),  # noqa: S704  (files of this package)
            script=Markup(script),  # noqa: S704
            script_hash=html.sha256(script),
        )
    )
