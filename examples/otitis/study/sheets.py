"""Sheets of pictures, to look at: what is compared stands in rows, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

COLUMNS = 12


def draw_sheet(path: Path, sets: Sequence[tuple[Tensor, Tensor]], scale: int = 1) -> None:
    """Draw the first pictures of each class, none selected by hand: a row for each set, with white where it has fewer.

    Args:
        path: picture to write.
        sets: pictures (N, 3, size, size) in [0, 1] with their labels (N,).
        scale: by which the sheet is enlarged.
    """
    rows = []
    for label in sets[0][1].unique().tolist():
        for pictures, labels in sets:
            some = pictures[labels == label][:COLUMNS]
            some = torch.cat([some, some.new_ones(COLUMNS - len(some), *some.shape[1:])])
            rows.append(torch.cat(list(some), 2))
    sheet = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(sheet).resize((scale * sheet.shape[1], scale * sheet.shape[0])).save(path)
