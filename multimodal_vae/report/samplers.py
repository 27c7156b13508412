"""The comparison of samplers as a table."""

import io
import shutil
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.synthesis.comparison import HeldOutLikelihood


def describe(configuration: Mapping[str, object]) -> str:
    """Return a sampler's name with those of its settings that are not defaults, as it is written in TOML.

    Example:
        >>> describe({"name": "gmm", "components": 5, "seed": 0})
        'gmm (components = 5)'
    """
    default = DensitySampler.of(configuration["name"]).configuration
    settings = [f"{key} = {value}" for key, value in configuration.items() if default.get(key) != value]
    return str(configuration["name"]) + (f" ({', '.join(settings)})" if settings else "")


def as_table(results: Sequence[HeldOutLikelihood]) -> str:
    """Return a table of mean held-out log densities in nats, with one row per sampler and one column per class.

    The last two columns are the AUC of the two-sample test and of the membership attack. The best value of a column has
    a star. Below the table are the reasons for missing values.
    """
    classes = list(dict.fromkeys(name for result in results for name in (*result.classes, *result.failures)))
    table = Table(
        title="mean held-out log density of a latent, in nats (higher is better); AUC of a two-sample test and of a "
        "membership attack (lower is better, .5 is chance)",
        title_justify="left",
    )
    table.add_column("sampler", overflow="fold")
    for name in [*classes, "all", "two-sample", "membership"]:
        table.add_column(Text(name), justify="right", overflow="fold")
    values = [
        [*(result.classes.get(name) for name in classes), result.mean, result.two_sample, result.membership]
        for result in results
    ]
    better = [max] * (len(classes) + 1) + [min] * 2
    best = [
        choose((value for value in column if value is not None), default=None)
        for choose, column in zip(better, zip(*values, strict=True), strict=True)
    ]
    for result, row in zip(results, values, strict=True):
        cells = ["-" if x is None else f"{x:.2f}{'*' if x == top else ' '}" for x, top in zip(row, best, strict=True)]
        table.add_row(Text(describe(result.sampler)), *cells)
    text = io.StringIO()
    console = Console(file=text, color_system=None, width=shutil.get_terminal_size((120, 24)).columns)
    console.print(table)
    for result in results:
        for label, reason in result.failures.items():
            console.print(Text(f"{describe(result.sampler)}, class {label!r}: {reason}"))
    return text.getvalue()
