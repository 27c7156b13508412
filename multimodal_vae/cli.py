"""``mmvae``: the command line. Thin: it turns words into calls, and errors into one line and an exit code.

Exit codes: 0 done; 2 the user's input is wrong, said in one line; 1 anything else, an interruption included.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae import registry
from multimodal_vae.errors import MultimodalVAEError, TrainingInterrupted

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Multi-modal variational autoencoders in which every modality is a plugin.",
)


@app.command(epilog="Example: mmvae plugins")
def plugins() -> None:
    """List every installed part: kind, name, distribution, version."""
    rows = [(entry.kind, entry.name, entry.distribution, entry.version) for entry in registry.entries()]
    rows = [("kind", "name", "distribution", "version"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command(epilog="Example: mmvae train examples/otitis/quick.toml --out runs/otitis")
def train(
    configuration: Annotated[Path, typer.Argument(help="TOML file of the run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the run; new or empty.", show_default=False)],
    manifest: Annotated[Path | None, typer.Option(help="Manifest, in place of the configuration's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a model on a manifest, fit a density a class, and leave a run folder."""
    from multimodal_vae.configuration import Configuration
    from multimodal_vae.run import train_run

    settings = Configuration.read(configuration)
    if manifest is not None:
        settings = settings.with_data(manifest=manifest.resolve())
    run = train_run(settings, out, show=not quiet)
    for name, counts in run.data.notes.items():
        for note, count in counts.items():
            typer.echo(f"{name}: {note}: {count}", err=True)
    typer.echo(f"trained: {run.path}")


@app.command(epilog="Example: mmvae sample runs/otitis --label AOM --count 500 --sampler gmm --out new")
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the new samples; new or empty.", show_default=False)],
    label: Annotated[
        list[str] | None, typer.Option(help="Class; may be given several times. All classes where it is not given.")
    ] = None,
    count: Annotated[int, typer.Option(help="Samples of each class.", min=1)] = 100,
    sampler: Annotated[str | None, typer.Option(help="Sampler, in place of the run's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
) -> None:
    """Generate new samples of wanted classes, all modalities together, as files with a manifest."""
    from multimodal_vae.files import require_vacant
    from multimodal_vae.run import open_run
    from multimodal_vae.synthesis.files import write_samples

    require_vacant(out)
    opened = open_run(run)
    state = opened.status
    if state["state"] != "done":
        typer.echo(
            f"mmvae: note: the training of {run} is {state['state']} after {state['epochs_done']} of "
            f"{state['epochs']} epochs",
            err=True,
        )
    synthesizer = opened.synthesizer(sampler)
    counts = dict.fromkeys(label or opened.model.classes, count)
    write_samples(out, synthesizer, counts, seed, {"run": str(run.resolve())})
    typer.echo(f"generated: {out}, {' '.join(f'{name} {number}' for name, number in counts.items())}")


def main() -> None:
    """Run ``mmvae``."""
    words = sys.argv[1:] or ["--help"]
    sys.exit(run_command(lambda: app(words, standalone_mode=False)))


def run_command(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code, with errors of the user's input as one line on standard error."""
    try:
        code = command()
    except MultimodalVAEError as error:
        return _say(str(error), 2)
    except TrainingInterrupted as error:
        return _say(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", 1)
    except typer.Exit as error:
        return error.exit_code
    except Exception as error:
        # Typer's usage errors: their class stands in a library that typer may or may not carry within itself.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _say(f"{error.format_message()} (mmvae --help shows how)", 2)
        raise
    return _say("interrupted", 1) if code == _CTRL_C else 0


_CTRL_C = 130  # what typer makes of a KeyboardInterrupt


def _say(message: str, code: int) -> int:
    print(f"mmvae: {' '.join(message.split())}", file=sys.stderr)
    return code
