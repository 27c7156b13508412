"""Class labels as users give them (strings, numbers, None, NaN), turned into class names and indices."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from multimodal_vae.data.batch import UNLABELED
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.names import form, is_missing_word, name_of, names_of, refuse_forms, scalar, spelled

Unlisted = Literal["refuse", "skip"]
"""What is done with labels that are not among the classes that are given."""


def class_of_item(label: Any, classes: Sequence[Any] | None) -> str:
    """Return the class of a data set item, as :func:`~multimodal_vae.names.name_of` does, except for integers.

    An integer is an index into ``classes`` if they are given; a negative one means no class.

    Raises:
        DataError: if the index is too large, or the label is no name.
    """
    label = scalar(label)
    if not isinstance(label, int):
        return name_of(label)
    if label < 0:
        return ""
    if classes is None:
        return str(label)
    if label >= len(classes):
        raise DataError(f"the label {label} is not an index into the {len(classes)} classes")
    return name_of(classes[label])


def index_classes(
    labels: Sequence[str], classes: Iterable[Any] | None, place: Callable[[int], str], unlisted: Unlisted = "refuse"
) -> tuple[list[str], Tensor]:
    """Return the class names, and the index of each label (N,), :data:`~multimodal_vae.data.batch.UNLABELED` if empty.

    Args:
        labels: (N,), names of classes.
        classes: the names of all classes. Default: those that occur among the labels, sorted; as numbers if all are
            whole numbers, so that class 10 comes after class 2.
        place: describes where a row's label was found, for the error.
        unlisted: ``"skip"`` takes labels that are not among the classes as empty.

    Raises:
        DataError: if a label is not one of the classes and is not skipped, is a word for a missing value that
            ``classes`` do not name, such as "NA", or -1 beside other numbers, or differs from another label or class
            only in form.
    """
    if classes is None:
        refuse_forms("labels", labels, place)
        occurring = {label for label in labels if label and not is_missing_word(label)}
        others = occurring - {"-1"}
        if others < occurring and others != {"1"} and all(name.isdecimal() for name in others):
            raise DataError(
                f"{place(labels.index('-1'))}: the label -1 may mean no class; leave it empty, or None, if the sample "
                "has no label, or name it in 'classes' if it is a class"
            )
        numbers = all(name.isdecimal() for name in occurring)
        names = sorted(occurring, key=lambda name: (len(form(name)), form(name))) if numbers else sorted(occurring)
    else:
        names = names_of(classes, "classes")
        if "" in names or len({*names}) < len(names):
            raise DataError(f"the classes {names} are not distinct names; name each class once")
        refuse_forms("classes", names, lambda number: f"number {number + 1}")
    index = {name: number for number, name in enumerate(names)} | {"": UNLABELED}
    for row, label in enumerate(labels):
        if label in index:
            continue
        if unlisted == "skip" and not (is_missing_word(label) or any(form(name) == form(label) for name in names)):
            index[label] = UNLABELED
        else:
            raise DataError(f"{place(row)}: {_why_unknown(label, names)}")
    return names, torch.tensor([index[label] for label in labels], dtype=torch.int64)


def _why_unknown(label: str, classes: Sequence[str]) -> str:
    twins = [name for name in classes if form(name) == form(label)]
    if twins:
        return (
            f"the label {spelled(label)} and the class {spelled(twins[0])} differ only in form; write both the same way"
        )
    if is_missing_word(label):
        return (
            f"the label {label!r} is a word for a missing value; leave it empty if the sample has no label, or name it "
            "in 'classes' if it is a class"
        )
    return f"unknown class {label!r}; {did_you_mean(label, classes)}"
