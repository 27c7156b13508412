"""Arguments, options and output that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.bounds import LARGEST_SEED
from multimodal_vae.errors import printable


def as_part(text: str) -> str | dict[str, Any]:
    """Return a part as a name, or as a table; see :func:`~multimodal_vae.toml.parse_part`."""
    from multimodal_vae.toml import parse_part

    return parse_part(text)


RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, as mmvae train writes it.")]
Sampler = Annotated[
    Any, typer.Option(parser=as_part, metavar="NAME|TABLE", help="Sampler: name or TOML table. Default: the run's.")
]
Refine = Annotated[
    bool, typer.Option("--refine/--no-refine", help="Refine the modalities for which the run has a refiner.")
]
Covariates = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Covariate to fix; repeat. Default: as trained on."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.", min=0, max=LARGEST_SEED)]


def say(*lines: str, err: bool = False) -> None:
    """Print lines; names and paths in them may hold escape sequences, which do not reach the terminal."""
    for line in lines:
        typer.echo(printable(line), err=err)


def example(*commands: str) -> str:
    """Return the end of a command's help: commands to copy, one per line, which work in the project's folder."""
    return "\n".join(["\b", "Example:", *(f"  {command}" for command in commands)])


COHORT = "python examples/otitis/cohort.py runs/cohort"
RUN = "mmvae train examples/otitis/quick.toml --out runs/otitis"
RUN_WITH_MISSING = "mmvae train examples/otitis/missing.toml --out runs/missing"
"""Commands that make what examples take: a cohort, a run, and a run that takes missing modalities."""
