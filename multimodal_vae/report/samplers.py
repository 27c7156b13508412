"""The comparison of samplers as a table."""

import io
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from multimodal_vae.synthesis.comparison import HeldOutLikelihood


def as_table(results: Sequence[HeldOutLikelihood]) -> str:
    """Return a table of mean held-out log densities in nats, with one row per sampler and one column per class.

    The highest value of a column has a star. Below the table are the reasons for missing values.
    """
    classes = list(dict.fromkeys(name for result in results for name in (*result.classes, *result.failures)))
    table = Table(title="mean held-out log density of a latent, in nats (higher is better)", title_justify="left")
    table.add_column("sampler", overflow="fold")
    for name in [*classes, "all"]:
        table.add_column(Text(name), justify="right", overflow="fold")
    values = [[*(result.classes.get(name) for name in classes), result.mean] for result in results]
    best = [max((value for value in column if value is not None), default=None) for column in zip(*values, strict=True)]
    for result, row in zip(results, values, strict=True):
        cells = ["-" if x is None else f"{x:.2f}{'*' if x == top else ' '}" for x, top in zip(row, best, strict=True)]
        table.add_row(Text(str(result.sampler["name"])), *cells)
    text = io.StringIO()
    console = Console(file=text, color_system=None, width=shutil.get_terminal_size((120, 24)).columns)
    console.print(table)
    for result in results:
        for label, reason in result.failures.items():
            console.print(Text(f"{result.sampler['name']}, class {label!r}: {reason}"))
    return text.getvalue()
