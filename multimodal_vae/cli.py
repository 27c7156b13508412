"""``mmvae``: the command line. Thin: it turns words into calls, and errors into one line and an exit code.

Exit codes: 0 done; 2 the user's input is wrong, said in one line; 1 anything else, an interruption included.
"""

import io
import json
import os
import signal
import sys
import tomllib
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multimodal_vae import registry
from multimodal_vae.discovery import shield
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEError,
    MultimodalVAEWarning,
    PluginError,
    TrainingInterrupted,
    did_you_mean,
)

if TYPE_CHECKING:
    from multimodal_vae.data.dataset import MultimodalDataset
    from multimodal_vae.run import Run

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Multi-modal variational autoencoders in which every modality is a plugin.",
)


@app.command(epilog="Example: mmvae plugins")
def plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Import each in a process of its own, and say how it is.")
    ] = False,
) -> None:
    """List every installed part: kind, name, distribution, version; importing none unless --check is given."""
    entries = registry.entries()
    rows = [["kind", "name", "distribution", "version"]]
    rows += [[entry.kind, entry.name, entry.distribution, entry.version] for entry in entries]
    faulty = False
    if check:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            states = list(pool.map(registry.state_of, entries))
        rows = [[*row, state] for row, state in zip(rows, ["state", *states], strict=True)]
        unreadable = registry.unreadable_distributions()
        rows += [["-", "-", each.distribution, each.version, each.fault] for each in unreadable]
        faulty = any(state not in (registry.WORKS, registry.RESTRICTED) for state in states) or any(
            each.offers_parts for each in unreadable
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if faulty:
        raise typer.Exit(1)


@app.command(epilog="Example: mmvae check modality signal --set length=64 --set channels=2")
def check(
    kind: Annotated[str, typer.Argument(help="modality, fusion, metric-loss, sampler or logger.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Name of the part, as mmvae plugins lists it.", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the part, as TOML writes it.")
    ] = None,
) -> None:
    """Try every law of its kind on one part, and say in words which it breaks."""
    from multimodal_vae.testing import LawBroken, laws

    part_class: Any = registry.load(_kind(kind), name)
    part = part_class.of({"name": name, **dict(map(_setting, settings or []))})
    broken = 0
    for law in laws(part.kind):
        try:
            law(part)
        except LawBroken as error:
            broken += 1
            typer.echo(f"BROKEN  {law.name}: seen: {error.seen}; expected: {error.expected}")
        else:
            typer.echo(f"holds   {law.name}: {law.statement}")
    typer.echo(f"{part!r}: {len(laws(part.kind)) - broken} laws hold, {broken} broken")
    if broken:
        raise typer.Exit(1)


@app.command(epilog="Example: mmvae new modality eeg")
def new(
    kind: Annotated[str, typer.Argument(help="modality, fusion, metric-loss or sampler.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Name under which the part will be found.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder; multimodal-vae-NAME where it is not given.", show_default=False)
    ] = None,
) -> None:
    """Write a distribution with a part of your own: it installs and keeps every law as it is, for you to change."""
    from multimodal_vae.scaffold.distribution import new_distribution

    folder = new_distribution(kind, name, out)
    typer.echo(f'written: {folder}; next: pip install -e "{folder}[test]" && pytest {folder}')


def _kind(word: str) -> str:
    kind = word.replace("-", "_")
    if kind not in registry.KINDS:
        raise PluginError(f"{word!r} is no kind of part; {did_you_mean(kind, registry.KINDS)}")
    return kind


def _setting(text: str) -> tuple[str, Any]:
    """A setting from ``key=value``; what is no TOML value is taken as text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--set takes KEY=VALUE, not {text!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


@app.command(epilog="Example: mmvae train examples/otitis/quick.toml --out runs/otitis")
def train(
    configuration: Annotated[Path, typer.Argument(help="TOML file of the run.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder of the run: new, or one to go on with by the same command.", show_default=False)
    ],
    manifest: Annotated[Path | None, typer.Option(help="Manifest, in place of the configuration's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a model on a manifest, fit a density a class, and leave a run folder; the same command resumes."""
    from multimodal_vae import distributed
    from multimodal_vae.configuration import Configuration
    from multimodal_vae.run import train_run

    settings = Configuration.read(configuration)
    if manifest is not None:
        settings = settings.with_data(manifest=manifest.resolve())
    run = train_run(settings, out, show=not quiet)
    if distributed.rank() > 0:  # of several processes the first speaks
        return
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
    temperature: Annotated[
        float, typer.Option(help="How far from the class's mean: 0 is the mean, 1 as the density has it.")
    ] = 1.0,
    min_quantile: Annotated[
        float, typer.Option(help="Share of the density's least likely latents that is left out, below 1.")
    ] = 0.0,
) -> None:
    """Generate new samples of wanted classes, as files with a manifest; the same command goes on if it was stopped."""
    import torch

    from multimodal_vae import distributed
    from multimodal_vae.files import require_vacant
    from multimodal_vae.synthesis.files import write_samples

    require_vacant(out)
    opened = _open(run)
    with distributed.joined(torch.device("cpu"), patience=_A_WEEK):  # machines may be of very different speed
        # What torchrun sends when a process is lost. Not any earlier: while processes join, no Python could answer it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with distributed.first_goes_first():  # which fits the densities, if nobody has yet
            synthesizer = opened.synthesizer(sampler)
        counts = dict.fromkeys(label or synthesizer.densities, count)
        write_samples(out, synthesizer, counts, seed, _origin(run), temperature, min_quantile)
    if distributed.rank() == 0:
        typer.echo(f"generated: {out}, {' '.join(f'{name} {number}' for name, number in counts.items())}")


def _open(path: Path) -> "Run":
    """Open a run that is to be used, and say so if its training was not done."""
    from multimodal_vae import distributed
    from multimodal_vae.run import open_run

    run = open_run(path)
    state = run.status
    if state["state"] != "done" and distributed.rank() == 0:
        typer.echo(
            f"mmvae: note: the training of {path} is {state['state']} after {state['epochs_done']} of "
            f"{state['epochs']} epochs",
            err=True,
        )
    return run


_Trained = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]
_Manifest = Annotated[
    Path, typer.Argument(help="Manifest of samples with the run's columns, in which cells may be empty.")
]
_NewFolder = Annotated[Path, typer.Option(help="Folder of what is made; new or empty.", show_default=False)]
_Given = Annotated[
    list[str] | None, typer.Option(help="Modality to look at; may be given several times. All where it is not given.")
]


def _read(run: "Run", manifest: Path, given: list[str] | None) -> "MultimodalDataset":
    """A manifest's samples, with what of them is to be looked at."""
    data = run.read(manifest)
    return data.only(*given) if given else data


@app.command(epilog="Example: mmvae encode runs/otitis cohort/manifest.csv --given wbt --out latents.npz")
def encode(
    run: _Trained,
    manifest: _Manifest,
    out: Annotated[Path, typer.Option(help="File .npz of the latents; new.", show_default=False)],
    given: _Given = None,
) -> None:
    """Write the latents of samples: the posterior's mean and log-variance, of whatever modalities they have."""
    from multimodal_vae.files import require_vacant
    from multimodal_vae.synthesis.tables import write_latents

    require_vacant(out)
    opened = _open(run)
    data = _read(opened, manifest, given)
    write_latents(out, data, opened.model.encode(data))
    typer.echo(f"encoded: {out}, {len(data)} samples")


@app.command(epilog="Example: mmvae classify runs/otitis cohort/manifest.csv --prior uniform --out probabilities.csv")
def classify(
    run: _Trained,
    manifest: _Manifest,
    out: Annotated[
        Path | None, typer.Option(help="CSV file; new. Standard output where it is not given.", show_default=False)
    ] = None,
    given: _Given = None,
    prior: Annotated[
        str, typer.Option(help="frequency: classes are as common as where densities are fitted; or uniform.")
    ] = "frequency",
    sampler: Annotated[str | None, typer.Option(help="Sampler, in place of the run's.")] = None,
) -> None:
    """Give each sample's probability of each class, by Bayes' rule on the classes' densities; not for diagnosis."""
    from multimodal_vae.files import require_vacant, write_bytes
    from multimodal_vae.synthesis.tables import probability_table

    if out is not None:
        require_vacant(out)
    opened = _open(run)
    data = _read(opened, manifest, given)
    table = probability_table(data, opened.synthesizer(sampler).classify(opened.model.encode(data).mean, prior))
    if out is None:
        typer.echo(table, nl=False)
    else:
        write_bytes(out, table.encode())
        typer.echo(f"classified: {out}, {len(data)} samples")


@app.command(epilog="Example: mmvae translate runs/otitis cohort/manifest.csv --to wbt --out told")
def translate(
    run: _Trained,
    manifest: _Manifest,
    to: Annotated[str, typer.Option(help="Modality that is wanted.", show_default=False)],
    out: _NewFolder,
    given: Annotated[
        list[str] | None,
        typer.Option(help="Modality to tell it from; may be given several times. All others where it is not given."),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(help="Draws from each posterior; its mean where it is not given.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0)] = 0,
) -> None:
    """Tell one modality of samples from others, as files with a manifest."""
    from multimodal_vae.files import require_vacant
    from multimodal_vae.synthesis.answers import write_translations

    require_vacant(out)
    opened = _open(run)
    vae = opened.model
    data = opened.read(manifest).only(*(given or [name for name in vae.modalities if name != to]))
    write_translations(out, vae, data, to, _origin(run), draws, seed)
    typer.echo(f"translated: {out}, {len(data)} samples, {draws or 1} of each")


@app.command(epilog="Example: mmvae complete runs/otitis cohort/manifest.csv --out completed")
def complete(
    run: _Trained,
    manifest: _Manifest,
    out: _NewFolder,
    seed: Annotated[
        int | None, typer.Option(help="Of one draw from each posterior; its mean where it is not given.", min=0)
    ] = None,
) -> None:
    """Fill a manifest's empty cells from the others of their row, marked as synthetic, in a folder of its own."""
    from multimodal_vae.files import require_vacant
    from multimodal_vae.synthesis import answers

    require_vacant(out)
    opened = _open(run)
    filled = answers.complete(out, opened.model, opened.read(manifest), _origin(run), seed)
    typer.echo(f"completed: {out}, {' '.join(f'{name} {count}' for name, count in filled.items()) or 'nothing lacked'}")


@app.command(epilog="Example: mmvae interpolate runs/otitis cohort/manifest.csv ear-3 ear-8 --steps 9 --out way")
def interpolate(
    run: _Trained,
    manifest: _Manifest,
    first: Annotated[str, typer.Argument(help="sample_id of the one end.", show_default=False)],
    last: Annotated[str, typer.Argument(help="sample_id of the other.", show_default=False)],
    out: _NewFolder,
    steps: Annotated[int, typer.Option(help="Samples on the way, both ends included.", min=2)] = 8,
) -> None:
    """Go from one sample to another along a straight line of the latent, as files with a manifest."""
    from multimodal_vae.files import require_vacant
    from multimodal_vae.synthesis.answers import write_interpolation

    require_vacant(out)
    opened = _open(run)
    data = opened.read(manifest)
    write_interpolation(out, opened.model, data.named(first, last), steps, _origin(run))
    typer.echo(f"interpolated: {out}, {steps} samples")


def _origin(run: Path) -> dict[str, str]:
    """What provenance.json says of the model."""
    return {"run": str(run.resolve())}


@app.command(epilog="""Example: mmvae samplers runs/otitis --sampler gmm --sampler '{name="kde", shared=true}'""")
def samplers(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    sampler: Annotated[
        list[str] | None,
        typer.Option(help="Name, or table as TOML writes it; may be given several times. All installed otherwise."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; what the run's densities are fitted on otherwise.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Folds of whole patients.", min=2)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Compare samplers by the log likelihood of latents whose patients were left out of the fit, class by class."""
    from multimodal_vae.report.samplers import as_table
    from multimodal_vae.run import open_run

    wanted = [_setting(f"sampler={each}")[1] if each.lstrip().startswith("{") else each for each in sampler or []]
    opened, results = open_run(run), []
    for each in wanted or [entry.name for entry in registry.entries("sampler")]:
        try:
            results.append(opened.compare(each, split, folds))
        except (ConfigurationError, PluginError) as error:
            if wanted:
                raise
            typer.echo(f"mmvae: note: {each} is left out: {error}", err=True)  # such as for want of an extra
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=2))
    else:
        typer.echo(as_table(results), nl=False)


@app.command(epilog="Example: mmvae audit runs/otitis --fit-on test --holdout others/manifest.csv")
def audit(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    fit_on: Annotated[
        str | None, typer.Option(help="train, validation or test: what densities are fitted on, in place of the run's.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler, in place of the run's.")] = None,
    holdout: Annotated[
        Path | None,
        typer.Option(help="Manifest of other patients; validation and test, where nothing is fitted on them, if none."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what is written to privacy.json, and no table.")
    ] = False,
) -> None:
    """Measure what a run's samples and model give away of its patients, and write privacy.json into the run."""
    from multimodal_vae.privacy.of_run import audit_run
    from multimodal_vae.privacy.printed import show
    from multimodal_vae.run import open_run

    found, path = audit_run(open_run(run), sampler, fit_on, holdout, seed)
    if as_json:
        typer.echo(path.read_text("utf-8").rstrip())
    else:
        show(found)
        typer.echo(f"written: {path}")


_A_WEEK = timedelta(weeks=1)


@app.command(epilog="Example: mmvae evaluate runs/otitis --by camera --by age_months")
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the manifest to measure subgroups of; several."),
    ] = None,
    count: Annotated[int, typer.Option(help="New samples of each class.", min=10)] = 300,
    split: Annotated[str, typer.Option(help="Real samples to hold them against: test or validation.")] = "test",
    judges: Annotated[
        Path | None,
        typer.Option(help="Folder of the judges, trained there if it has none; RUN/judges where it is not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.", min=0)] = 0,
) -> None:
    """Measure a run on held-out samples: metrics.json and a report.html of one file, both in its folder."""
    from multimodal_vae.report.files import write_evaluation
    from multimodal_vae.run import open_run

    metrics, report = write_evaluation(open_run(run), by or [], count, split, judges, seed)
    typer.echo(f"evaluated: {metrics}, {report}")


@app.command(epilog="Example: mmvae card runs/otitis")
def card(run: Annotated[Path, typer.Argument(help="Folder of an evaluated run.", show_default=False)]) -> None:
    """Write a model card, card.md, into a run's folder, out of what mmvae evaluate found."""
    from multimodal_vae.report.files import write_card
    from multimodal_vae.run import open_run

    typer.echo(f"written: {write_card(open_run(run))}")


def main() -> None:
    """Run ``mmvae``."""
    words = sys.argv[1:] or ["--help"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a plugin may have a name that this terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    shield()
    sys.exit(run_command(lambda: app(words, standalone_mode=False)))


def run_command(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code, with errors of the user's input as one line on standard error."""
    try:
        code: int | None = command()
    except MultimodalVAEError as error:
        return _say(str(error), 2)
    except TrainingInterrupted as error:
        return _say(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", 1)
    except Exception as error:
        # Typer's usage errors: their class stands in a library that typer may or may not carry within itself.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _say(f"{error.format_message()} (mmvae --help shows how)", 2)
        raise
    return _say("interrupted", 1) if code == _CTRL_C else code or 0  # a typer.Exit comes back as its code


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """Say our own warnings in one line; a user of the command line does not care from which line of code they come."""
    if issubclass(category, MultimodalVAEWarning):
        typer.echo(f"mmvae: note: {message}", err=True)
    else:
        _show_warning_of_python(message, category, *place, **options)


_show_warning_of_python = warnings.showwarning
_CTRL_C = 130  # what typer makes of a KeyboardInterrupt


def _say(message: str, code: int) -> int:
    print(f"mmvae: {' '.join(message.split())}", file=sys.stderr)
    return code
