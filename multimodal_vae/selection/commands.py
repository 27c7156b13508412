"""The commands of the package; thin, as those of :mod:`multimodal_vae.cli`, which registers them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.options import COHORT, Seed, example, say

_Recipe = Annotated[Path, typer.Argument(help="TOML file that describes a run.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def cross_validate(
    recipe: _Recipe,
    out: Annotated[Path, typer.Option(help="Output folder: new, or that of the same command to resume.")],
    folds: Annotated[int, typer.Option(help="Number of folds, by patient.", min=2)] = 5,
    jobs: Annotated[int, typer.Option(help="Number of folds to run side by side.", min=1)] = 1,
    count: Annotated[int, typer.Option(help="Number of generated samples per class.", min=10)] = 300,
    seed: Seed = 0,
    quiet: _Quiet = False,
) -> None:
    """Train and evaluate a recipe per fold of patients.

    Each metric is a mean over folds with its spread; the test patients of the recipe take no part.
    """
    from multimodal_vae.configuration import Configuration
    from multimodal_vae.selection.cross_validation import cross_validate as run

    result = run(Configuration.read(recipe), out, folds, jobs=jobs, count=count, seed=seed, show=not quiet)
    say(*result.table().split("\n"), f"cross-validated: {out}")


def tune(
    recipe: _Recipe,
    out: Annotated[Path, typer.Option(help="Output folder: new, or that of the same command to resume.")],
    minutes: Annotated[float, typer.Option(help="Budget; no trial begins that would end later.")] = 10.0,
    objective: Annotated[
        str, typer.Option(help="What to maximize on validation patients: generation or likelihood.")
    ] = "generation",
    trials: Annotated[int | None, typer.Option(help="Maximum number of trials.", min=1)] = None,
    seed: Seed = 0,
    quiet: _Quiet = False,
) -> None:
    """Search for the settings that validate best.

    The recipe's [tune] lists choices and ranges. The test patients are looked at once, at the end.
    """
    from multimodal_vae.configuration import Configuration
    from multimodal_vae.selection.tuning import summary
    from multimodal_vae.selection.tuning import tune as run

    found = Configuration.read(recipe)
    result = run(found, out, minutes, objective=objective, trials=trials, seed=seed, show=not quiet)
    say(*summary(result).split("\n"), f"tuned: {out}")


COMMANDS: dict[Callable[..., Any], str] = {
    cross_validate: example(COHORT, "mmvae cross-validate examples/otitis/quick.toml --folds 5 --out folds"),
    tune: example(COHORT, "mmvae tune examples/otitis/missing.toml --minutes 30 --out tuned"),
}
"""Commands with their epilogs."""
