"""The command line ``mmvae``: each command is one call, and each error one line and an exit code.

Exit codes: 0 done; 2 the user's input is wrong; 1 any other failure, interruptions included.
"""

import errno
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multimodal_vae import registry
from multimodal_vae.allocation import keep_freed_memory
from multimodal_vae.bounds import LARGEST_SEED
from multimodal_vae.discovery import shield
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEError,
    MultimodalVAEWarning,
    PluginError,
    TrainingInterrupted,
    printable,
)
from multimodal_vae.explore.commands import COMMANDS as EXPLORE
from multimodal_vae.options import (
    COHORT,
    RUN,
    RUN_WITH_MISSING,
    Covariates,
    Refine,
    RunFolder,
    Sampler,
    Seed,
    as_part,
    example,
    say,
)
from multimodal_vae.part_commands import COMMANDS as PARTS
from multimodal_vae.privacy.commands import COMMANDS as PRIVACY
from multimodal_vae.release.commands import COMMANDS as RELEASE
from multimodal_vae.selection.commands import COMMANDS as SELECTION
from multimodal_vae.study.commands import app as study

if TYPE_CHECKING:
    from multimodal_vae.data.dataset import MultimodalDataset
    from multimodal_vae.run import Run

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train multi-modal variational autoencoders, generate samples with them, and evaluate both.",
    epilog="mmvae COMMAND --help explains a command.",
)

_WEEK = timedelta(weeks=1)

_Manifest = Annotated[Path, typer.Argument(help="Manifest (CSV) with the run's columns; cells may be empty.")]
_NewFolder = Annotated[Path, typer.Option(help="Output folder; new or empty.")]
_Given = Annotated[list[str] | None, typer.Option(help="Modality to use; repeat for several. Default: all.")]
_NOISE = "draw: with observation noise; mean: expected values. Default: "
_Noise = Annotated[Any, typer.Option(parser=str, metavar="draw|mean", help=_NOISE + "as each modality says.")]
_DrawnNoise = Annotated[
    Any, typer.Option(parser=str, metavar="draw|mean", help=_NOISE + "mean; for draws, as each modality says.")
]


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"mmvae {version('multimodal-vae')}")
        raise typer.Exit


@app.callback()
def _program(
    shown: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command(epilog=example(COHORT, RUN))
def train(
    configuration: Annotated[Path, typer.Argument(help="TOML file that describes the run.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: new, or an interrupted run to resume.")],
    manifest: Annotated[Path | None, typer.Option(help="Manifest. Default: the configuration's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a model and fit a density per class.

    Rerun the same command to resume an interrupted training: the result is the same, to the last bit.
    """
    from multimodal_vae import distributed
    from multimodal_vae.configuration import Configuration
    from multimodal_vae.run import train_run

    settings = Configuration.read(configuration)
    if manifest is not None:
        settings = settings.with_data(manifest=manifest.resolve())
    run = train_run(settings, out, show=not quiet)
    if distributed.rank() > 0:  # only the first process prints
        return
    for name, counts in run.data.notes.items():
        for note, count in counts.items():
            say(f"{name}: {note}: {count}", err=True)
    say(f"trained: {run.path}")


@app.command(epilog=example("mmvae sample runs/otitis --label AOM --count 500 --sampler gmm --out new"))
def sample(
    run: RunFolder,
    out: _NewFolder,
    label: Annotated[list[str] | None, typer.Option(help="Class; repeat for several. Default: all.")] = None,
    count: Annotated[int, typer.Option(help="Number of samples per class.", min=1)] = 100,
    sampler: Sampler = None,
    seed: Seed = 0,
    temperature: Annotated[
        float, typer.Option(help="Scale of the latents' distance from the class mean; 1 samples the density itself.")
    ] = 1.0,
    min_quantile: Annotated[
        float, typer.Option(help="Share of the least likely latents to leave out, from 0 to below 1.")
    ] = 0.0,
    noise: _Noise = None,
    refine: Refine = True,
    covariates: Covariates = None,
) -> None:
    """Generate samples of some classes, as files and a manifest.

    Rerun the same command to resume if it was interrupted.
    """
    import torch

    from multimodal_vae import distributed
    from multimodal_vae.data.covariates import read_settings
    from multimodal_vae.files import claimed
    from multimodal_vae.progress import shown
    from multimodal_vae.synthesis.generation import write_samples

    with claimed(out):
        given, opened = read_settings(covariates or []), _open(run)
        with distributed.join_processes(torch.device("cpu"), timeout=_WEEK):  # machines may differ much in speed
            # torchrun sends SIGTERM when a process is lost. Set here, since Python cannot answer while processes join.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with shown() if distributed.rank() == 0 else nullcontext():
                with distributed.main_process_first():  # it fits the densities that are missing
                    synthesizer = opened.synthesizer(sampler, refine=refine)
                counts = dict.fromkeys(label or synthesizer.densities, count)
                write_samples(out, synthesizer, counts, seed, opened.origin, temperature, min_quantile, noise, given)
    if distributed.rank() == 0:
        say(f"generated: {out}, {' '.join(f'{name} {number}' for name, number in counts.items())}")


@app.command(
    epilog=example(RUN_WITH_MISSING, "mmvae encode runs/missing runs/cohort/manifest.csv --given wbt --out latents.npz")
)
def encode(
    run: RunFolder,
    manifest: _Manifest,
    out: Annotated[Path, typer.Option(help="Output file (.npz); new.")],
    given: _Given = None,
) -> None:
    """Write the latents of samples: mean and log-variance."""
    from multimodal_vae.files import claimed
    from multimodal_vae.progress import shown
    from multimodal_vae.synthesis.tables import write_latents

    with claimed(out), shown():
        opened = _open(run)
        data = _read(opened, manifest, given)
        write_latents(out, data, opened.model.encode(data))
    say(f"encoded: {out}, {len(data)} samples")


@app.command(
    epilog=example("mmvae classify runs/otitis runs/cohort/manifest.csv --prior uniform --out probabilities.csv")
)
def classify(
    run: RunFolder,
    manifest: _Manifest,
    out: Annotated[Path | None, typer.Option(help="Output file (CSV); new. Default: standard output.")] = None,
    given: _Given = None,
    prior: Annotated[
        str, typer.Option(help="Prior of the classes: frequency, as where the densities were fitted, or uniform.")
    ] = "frequency",
    sampler: Sampler = None,
) -> None:
    """Write class probabilities; not for diagnosis.

    They follow from the densities of the classes by Bayes' rule.
    """
    from multimodal_vae.files import claimed, write_new
    from multimodal_vae.progress import shown
    from multimodal_vae.synthesis.tables import probability_table

    with claimed(out) if out else nullcontext(), shown():
        opened = _open(run)
        data, densities = _read(opened, manifest, given), opened.synthesizer(sampler, refine=False)
        table = probability_table(data, densities.classify(opened.model.encode(data).mean, prior))
        if out is not None:
            write_new(out, table.encode())
    if out is None:
        say(*table.split("\r\n")[:-1])
    else:
        say(f"classified: {out}, {len(data)} samples")


@app.command(
    epilog=example(RUN_WITH_MISSING, "mmvae translate runs/missing runs/cohort/manifest.csv --to wbt --out translated")
)
def translate(
    run: RunFolder,
    manifest: _Manifest,
    to: Annotated[str, typer.Option(help="Modality to generate.")],
    out: _NewFolder,
    given: Annotated[
        list[str] | None,
        typer.Option(help="Modality to generate it from; repeat for several. Default: all others."),
    ] = None,
    draws: Annotated[int | None, typer.Option(help="Draws per posterior. Default: its mean.", min=1)] = None,
    seed: Seed = 0,
    noise: _DrawnNoise = None,
) -> None:
    """Generate one modality of samples from their others."""
    from multimodal_vae.files import claimed
    from multimodal_vae.progress import shown
    from multimodal_vae.synthesis.conditional import write_translations

    with claimed(out), shown():
        opened = _open(run)
        vae = opened.model
        data = opened.read(manifest).only(*(given or [name for name in vae.modalities if name != to]))
        write_translations(out, vae, data, to, opened.origin, draws, seed, noise)
    say(f"translated: {out}, {len(data)} samples, {draws or 1} of each")


@app.command(epilog=example(RUN_WITH_MISSING, "mmvae complete runs/missing runs/cohort/manifest.csv --out completed"))
def complete(
    run: RunFolder,
    manifest: _Manifest,
    out: _NewFolder,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of one draw per posterior. Default: its mean.", min=0, max=LARGEST_SEED),
    ] = None,
    noise: _DrawnNoise = None,
) -> None:
    """Fill a manifest's empty cells from the rest of their rows.

    The output is a copy of the manifest that marks the generated cells as synthetic.
    """
    from multimodal_vae.files import claimed
    from multimodal_vae.progress import shown
    from multimodal_vae.synthesis import conditional

    with claimed(out), shown():
        opened = _open(run)
        filled = conditional.write_completion(out, opened.model, opened.read(manifest), opened.origin, seed, noise)
    counts = " ".join(f"{name} {count}" for name, count in filled.items()) or "no empty cells"
    say(f"completed: {out}, {counts}")


@app.command(
    epilog=example("mmvae interpolate runs/otitis runs/cohort/manifest.csv p0001-R1 p0002-R1 --steps 9 --out between")
)
def interpolate(
    run: RunFolder,
    manifest: _Manifest,
    first: Annotated[str, typer.Argument(help="sample_id of the first sample.")],
    last: Annotated[str, typer.Argument(help="sample_id of the last sample.")],
    out: _NewFolder,
    steps: Annotated[int, typer.Option(help="Number of samples, both ends included.", min=2)] = 8,
) -> None:
    """Generate samples on the line between two latents."""
    from multimodal_vae.files import claimed
    from multimodal_vae.synthesis.conditional import write_interpolation

    with claimed(out):
        opened = _open(run)
        data = opened.read(manifest)
        write_interpolation(out, opened.model, data.named(first, last), steps, opened.origin)
    say(f"interpolated: {out}, {steps} samples")


@app.command(epilog=example("mmvae samplers runs/otitis --sampler gmm --sampler '{name=\"kde\", shared=true}'"))
def samplers(
    run: RunFolder,
    sampler: Annotated[
        list[Any] | None,
        typer.Option(parser=as_part, metavar="NAME|TABLE", help="Name or TOML table; repeat. Default: all installed."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test. Default: where the densities were fitted."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds, by patient.", min=2)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Compare samplers by held-out log-likelihood per class."""
    from multimodal_vae.progress import shown, track
    from multimodal_vae.report.samplers import as_table
    from multimodal_vae.run import open_run

    opened, results = open_run(run), []
    with shown():
        for each in track(sampler or [entry.name for entry in registry.entries("sampler")], "samplers"):
            try:
                results.append(opened.compare(each, split, folds))
            except (ConfigurationError, PluginError) as error:  # as where an extra is not installed
                if sampler:
                    raise
                say(f"mmvae: note: {each} is left out: {error}", err=True)
    if as_json:
        say(*json.dumps([asdict(result) for result in results], indent=2).split("\n"))
    else:
        say(*as_table(results).rstrip("\n").split("\n"))


@app.command(epilog=example("mmvae evaluate runs/otitis --by camera --by age_months"))
def evaluate(
    run: RunFolder,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Manifest column of subgroups to report; repeat for several."),
    ] = None,
    count: Annotated[int, typer.Option(help="Number of generated samples per class.", min=10)] = 300,
    split: Annotated[str, typer.Option(help="Real samples to compare with: test or validation.")] = "test",
    judges: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the judges, the networks that rate samples; trained if empty. Default: RUN/judges."
        ),
    ] = None,
    seed: Seed = 0,
    sampler: Sampler = None,
    refine: Refine = True,
) -> None:
    """Evaluate a run on held-out samples.

    Writes metrics.json, metrics.csv and the self-contained page report.html into the run's folder.
    """
    from multimodal_vae.progress import shown
    from multimodal_vae.report.run_evaluation import write_evaluation
    from multimodal_vae.run import open_run

    with shown():
        files = write_evaluation(open_run(run), by or [], count, split, judges, seed, sampler, refine)
    say(f"evaluated: {', '.join(map(str, files))}")


@app.command(epilog=example("mmvae card runs/otitis"))
def card(run: RunFolder) -> None:
    """Write a model card, card.md, from the run's evaluation."""
    from multimodal_vae.report.run_evaluation import write_card
    from multimodal_vae.run import open_run

    say(f"written: {write_card(open_run(run))}")


for command, epilog in (PARTS | EXPLORE | PRIVACY | RELEASE | SELECTION).items():
    app.command(epilog=epilog)(command)
app.add_typer(study, name="study")


def _open(path: Path) -> "Run":
    """Open a run, with a note if its training is not done."""
    from multimodal_vae import distributed
    from multimodal_vae.run import open_run

    run = open_run(path)
    state = run.status
    if state["state"] != "done" and distributed.rank() == 0:
        progress = f"{state['state']} after {state['epochs_done']} of {state['epochs']} epochs"
        say(f"mmvae: note: the training of {path} is {progress}", err=True)
    return run


def _read(run: "Run", manifest: Path, given: list[str] | None) -> "MultimodalDataset":
    """Return a manifest's samples, with the given modalities only."""
    data = run.read(manifest)
    return data.only(*given) if given else data


def main() -> None:
    """Run ``mmvae``."""
    words = sys.argv[1:] or ["--help"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a plugin's name may contain what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    keep_freed_memory()
    shield()
    sys.exit(run_command(lambda: app(words, prog_name="mmvae", standalone_mode=False)))


def run_command(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code; print errors of the user's input as one line on standard error."""
    try:
        code: int | None = command()
    except MultimodalVAEError as error:
        return _fail(str(error), 2)
    except TrainingInterrupted as error:
        return _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 1)
    except Exception as error:
        # Typer's usage errors, by their attributes: depending on typer's version their class is click's or its own.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _fail(f"{error.format_message()} (see mmvae --help)", 2)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes what is left as it ends
            return _fail(f"{error.filename or 'the output'} cannot be written: {error.strerror}", 2)
        raise
    return _fail("interrupted", 1) if code == _CTRL_C else code or 0  # the code of a typer.Exit


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """Print this package's warnings as one line, without the line of code that they come from."""
    if issubclass(category, MultimodalVAEWarning):
        say(f"mmvae: note: {message}", err=True)
    else:
        _show_other_warning(message, category, *place, **options)


_show_other_warning = warnings.showwarning
_CTRL_C = 130  # typer's exit code of a KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    print(f"mmvae: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
