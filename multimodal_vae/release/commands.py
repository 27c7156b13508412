"""The commands of the package; thin, as those of :mod:`multimodal_vae.cli`, which registers them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae.options import Refine, RunFolder, Sampler, Seed, example, say


def release(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Output folder; new or empty.")],
    count: Annotated[int, typer.Option(help="Number of samples per class.", min=10)] = 100,
    sampler: Sampler = None,
    seed: Seed = 0,
    holdout: Annotated[
        Path | None,
        typer.Option(
            help="Manifest of unseen patients. Default: validation and test, minus the split of the densities."
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Largest area under the curve of an attack, at the upper end of its interval.")
    ] = 0.6,
    refine: Refine = True,
) -> None:
    """Write samples to hand on, audited and described.

    With a datasheet and checksums, and without anything of the model. Nothing is written if an attack on the samples
    exceeds the threshold, or a sample is a copy of a patient's. Rerun the same command to resume if it was interrupted.
    """
    from multimodal_vae.progress import shown
    from multimodal_vae.release.writing import release_run
    from multimodal_vae.run import open_run

    with shown():
        digest = release_run(open_run(run), out, count, sampler, seed, holdout, threshold, refine)
    say(f"released: {out}", f"digest: {digest}")


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder that mmvae release wrote.")],
    digest: Annotated[str | None, typer.Option(help="Digest that the releaser published.")] = None,
) -> None:
    """Check that a release is complete and unchanged.

    It needs nothing but the folder. Without --digest, a change is not seen if the checksums were computed anew after
    it.
    """
    from multimodal_vae.release.verification import verify_release

    found = verify_release(folder, digest)
    say(f"verified: {folder}, {found.samples} samples in {found.files} files", f"digest: {found.digest}")
    if digest is None:
        say("not compared: give the digest that the releaser published with --digest")


COMMANDS: dict[Callable[..., Any], str] = {
    release: example("mmvae release runs/otitis --count 300 --sampler gaussian --out released-300"),
    verify: example("mmvae verify released"),
}
"""Commands with their epilogs."""
