"""The commands of the package; thin, as those of :mod:`multimodal_vae.cli`, which registers them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.options import Refine, RunFolder, Sampler, Seed, example, say


def audit(
    run: RunFolder,
    fit_on: Annotated[
        str | None,
        typer.Option(help="Split to fit the densities on: train, validation or test. Default: the run's."),
    ] = None,
    sampler: Sampler = None,
    holdout: Annotated[
        Path | None,
        typer.Option(
            help="Manifest of unseen patients. Default: validation and test, minus the split of the densities."
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Folder of generated samples to audit, as mmvae sample writes it. Default: generate them."),
    ] = None,
    members: Annotated[
        Path | None,
        typer.Option(help="Manifest of the patients whose privacy is concerned. Default: the run's training patients."),
    ] = None,
    shadows: Annotated[
        int, typer.Option(help="Number of shadow models to train, an even number such as 8; resumable.", min=0)
    ] = 0,
    seed: Seed = 0,
    refine: Refine = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print privacy.json in place of a table.")] = False,
) -> None:
    """Measure what a run reveals about its patients.

    Copying, membership inference and attribute inference, written to privacy.json in the run's folder, with ROC curves
    of the attacks in privacy.svg.
    """
    from multimodal_vae.privacy.picture import PICTURE
    from multimodal_vae.privacy.run_audit import audit_run, print_audit
    from multimodal_vae.privacy.shadows import estimated_seconds
    from multimodal_vae.progress import shown
    from multimodal_vae.run import open_run

    opened = open_run(run)
    if shadows:
        seconds = estimated_seconds(opened, shadows)
        cost = f"{shadows} times as long as the run" if math.isnan(seconds) else f"about {seconds / 60:.1f} minutes"
        typer.echo(f"mmvae: note: the shadow models take {cost}; rerun the command to resume", err=True)
    with shown():
        result, path = audit_run(
            opened, sampler, fit_on, holdout, seed, samples=samples, members=members, shadows=shadows, refine=refine
        )
    if as_json:
        say(*path.read_text("utf-8").rstrip().split("\n"))
    else:
        print_audit(result)
        say(f"written: {path}, {path.with_name(PICTURE)}")


def adapt(
    run: RunFolder,
    manifest: Annotated[Path, typer.Argument(help="Manifest of the patients to protect, unknown to RUN.")],
    epsilon: Annotated[float, typer.Option(help="Privacy budget of a patient; smaller is more private.")],
    out: Annotated[Path, typer.Option(help="Run folder to create; or an interrupted one to resume.")],
    delta: Annotated[
        float | None, typer.Option(help="Probability that the guarantee fails. Default: the sampler's.")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option(help="Number of latent dimensions to adapt. Default: the sampler's.", min=1)
    ] = None,
    count: Annotated[int, typer.Option(help="Number of samples per class.", min=1)] = 100,
    seed: Seed = 0,
) -> None:
    """Fit densities to other patients in private.

    Differentially private: only the run's densities learn from these patients, so that the guarantee covers the
    samples, in OUT/samples.
    """
    from multimodal_vae.privacy.adaptation import adapt_run, adaptation_words
    from multimodal_vae.progress import shown
    from multimodal_vae.run import open_run

    opened = open_run(run)
    given: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "dimensions": dimensions}
    given["base"] = opened.configuration.density.sampler  # the run's densities are moved, and keep their shape
    sampler = {"name": "private_gaussian", **{name: value for name, value in given.items() if value is not None}}
    with shown():
        adapted = adapt_run(opened, manifest, sampler, out, count, seed)
    say(f"adapted: {out}; hand on: {out / 'samples'}", *adaptation_words(adapted))


COMMANDS: dict[Callable[..., Any], str] = {
    adapt: example(
        "python examples/otitis/cohort.py runs/clinic --seed 1 --prefix q  # other patients",
        "mmvae adapt runs/otitis runs/clinic/manifest.csv --epsilon 3 --out runs/adapted",
    ),
    audit: example("mmvae audit runs/otitis --sampler kde"),
}
"""Commands with their epilogs."""
