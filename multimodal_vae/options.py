"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.bounds import LARGEST_SEED
from multimodal_vae.toml import parse_part

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run, as mmvae train writes it.")]
Sampler = Annotated[
    Any, typer.Option(parser=parse_part, metavar="NAME|TABLE", help="Sampler: name or TOML table. Default: the run's.")
]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.", min=0, max=LARGEST_SEED)]
