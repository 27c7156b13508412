"""The rows of a manifest: one sample each."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from multimodal_vae.data.on_access import OnAccess
from multimodal_vae.data.texts import Texts
from multimodal_vae.files import csv_row


@dataclass(frozen=True)
class Row:
    """One sample of a manifest.

    Attributes:
        line: line number in the file; the header is line 1.
        sample_id: name of the sample, unique in the manifest.
        patient_id: name of the patient; empty if it is missing.
        label: name of the class; empty if unlabeled.
        split: ``train``, ``validation`` or ``test``; empty if the manifest has no such column.
        cells: the cell of each modality, or the CSV row of its cells; empty if the modality is absent.
        metadata: the other columns.
    """

    line: int
    sample_id: str
    patient_id: str
    label: str
    split: str
    cells: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


class Rows(OnAccess[Row]):
    """The samples of a manifest, as columns of cells; a :class:`Row` is made on access.

    Args:
        lines: (N,), line numbers.
        columns: (N,) by name, the cells.
        modalities: names of the columns by modality; none for one column that is called like the modality.
        known: names of columns that are no metadata.

    Attributes:
        lines: (N,), line numbers.
        ids: (N,), names of the samples.
        patients: (N,), names of the patients; empty if missing.
        labels: (N,), names of the classes; empty if unlabeled.
        splits: (N,); empty if the manifest has no such column.
        cells: (N,) by modality, its cells, or the CSV rows of its cells.
        metadata: (N,) by name, the other columns.
        present: (N, M) of bool, whether a sample has a cell of each modality.
    """

    def __init__(
        self,
        lines: Sequence[int],
        columns: Mapping[str, Texts],
        modalities: Mapping[str, Sequence[str]],
        known: Container[str],
    ) -> None:
        empty = Texts(repeat("", len(lines)))
        self.lines = lines
        self.ids = columns["sample_id"]
        self.patients = columns.get("patient_id", empty)
        self.labels = columns["label"]
        self.splits = columns.get("split", empty)
        self.metadata = {name: cells for name, cells in columns.items() if name not in known}
        self.cells: dict[str, Sequence[str]] = {}
        self.present = np.zeros((len(lines), len(modalities)), np.bool_)
        for number, (name, own) in enumerate(modalities.items()):
            self.cells[name] = _JoinedCells([columns[each] for each in own]) if own else columns[name]
            for each in own or [name]:
                self.present[:, number] |= columns[each].are_filled()

    def __len__(self) -> int:
        return len(self.lines)

    def item(self, index: int) -> Row:
        """Return one row."""
        return Row(
            self.lines[index],
            self.ids[index],
            self.patients[index],
            self.labels[index],
            self.splits[index],
            {name: cells[index] for name, cells in self.cells.items()},
            {name: cells[index] for name, cells in self.metadata.items()},
        )


class _JoinedCells(OnAccess[str]):
    """The cells of several columns; those of a row are one CSV row."""

    def __init__(self, columns: Sequence[Texts]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def item(self, index: int) -> str:
        """Return one text."""
        return csv_row([column[index] for column in self._columns])

    def __iter__(self) -> Iterator[str]:
        return map(csv_row, zip(*self._columns, strict=True))
