"""The audit of a run: collect its records, write ``privacy.json`` and a picture, print the verdict and a table."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.errors import ConfigurationError, RunError, printable
from multimodal_vae.evaluation.result import format_interval, format_number
from multimodal_vae.files import inside, write_bytes, write_json
from multimodal_vae.privacy.audit import Audit, audit
from multimodal_vae.privacy.picture import PICTURE, draw_curves
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.result import FILE, VERSION, Who
from multimodal_vae.privacy.run_records import collect, complete, generate, given_samples, read, usable
from multimodal_vae.privacy.shadows import require_shadows, shadow_scores
from multimodal_vae.privacy.summary import summary
from multimodal_vae.run import Run
from multimodal_vae.run_folder import writing
from multimodal_vae.synthesis.marks import TABLE


@checked
def audit_run(
    run: Run,
    sampler: Any = None,
    fit_on: str | None = None,
    holdout: Path | None = None,
    seed: int = 0,
    *,
    samples: Path | None = None,
    members: Path | None = None,
    shadows: int = 0,
    refine: bool = True,
) -> tuple[Audit, Path]:
    """Audit a run and write ``privacy.json`` and ``privacy.svg`` into its folder.

    Args:
        run: an opened run.
        sampler: an instance, a name or a table; None: the run's.
        fit_on: split that the densities are fitted on; None: the run's.
        holdout: manifest of unseen patients; None: the run's validation and test samples, minus the split that the
            densities were fitted on.
        seed: seed of all random choices.
        samples: folder of generated samples to audit, as ``mmvae sample`` writes it. Its samples are read with the
            run's modalities and embedded as records are, since their latents are not in the folder. None: as many
            samples per class are generated as the model was trained on.
        members: manifest of the patients whose privacy is concerned; None: those of the run, which the model was
            trained on and, if they differ, those that the densities were fitted on.
        shadows: number of shadow models to train and attack with; even. See
            :func:`~multimodal_vae.privacy.shadows.shadow_scores`.
        refine: whether the audited samples are refined, if the run has refiners.

    Returns:
        The audit and the path of ``privacy.json``.

    Raises:
        ConfigurationError: if both a sampler and samples are given, or shadow models cannot audit what is asked for.
        RunError: if no samples are left for the holdout, or another process writes the run.
        DataError: if the holdout shares a patient with the members, or has too few samples.
    """
    require_seed(seed)
    if samples is not None and sampler is not None:
        raise ConfigurationError("the samples are given, so no sampler is used; omit --samples or --sampler")
    with writing(run.path):
        path = inside(run.path, FILE)
        model, splits = run.model, run.splits
        fit_on = fit_on or run.configuration.density.fit_on
        if shadows:
            require_shadows(run, shadows, fit_on, bool(holdout or members))
        real = complete(splits["train"])
        records = partial(collect, model, real)
        if samples is None:
            synthesizer = run.synthesizer(sampler, fit_on, refine)
            counts = {model.classes[label]: count for label, count in real.counts().items()}
            synthetic, configuration = generate(synthesizer, counts, seed, real), synthesizer.sampler.configuration
        else:
            synthetic, configuration = given_samples(run, samples / TABLE, seed, real), None
        concerned: dict[Who, Records] = {"train": records(splits["train"])}
        if members is not None:
            concerned = {"members": records(read(run, members))}
        elif fit_on != "train":
            concerned["fitted on"] = records(splits[fit_on])
        others = _holdout(run, fit_on, holdout)
        unseen = records(*others)
        if shadows:
            pool = run.data.named(*(name for part in (splits["train"], *others) for name in usable(part).ids))
            scores = shadow_scores(run, sampler, shadows, pool, real, synthetic, seed, refine)
            count = len(concerned["train"])
            concerned["train"] = concerned["train"].scored({name: x[:count] for name, x in scores.items()})
            unseen = unseen.scored({name: x[count:] for name, x in scores.items()})
        result = audit(concerned, unseen, synthetic, seed=seed)
        settings = {
            "version": VERSION,
            "sampler": configuration,
            "samples": str(samples) if samples else None,
            "refined": [*run.configuration.refiners] if refine and samples is None else [],
            "fit_on": fit_on,
            "members": str(members) if members else "run",
            "holdout": str(holdout) if holdout else "run",
            "shadows": shadows,
            "seed": seed,
        }
        write_json(path, {**settings, **result.to_dict()})
        write_bytes(path.with_name(PICTURE), draw_curves(result.curves, result.results).encode())
        return result, path


def print_audit(result: Audit) -> None:
    """Print the verdict, one row per question, and the conclusions and limitations that the verdict does not have."""
    console = Console(highlight=False, markup=False)
    verdict = result.verdict
    console.print("A leak was found." if verdict.leak else "No leak was found.")
    console.print(*map(printable, verdict.summary), sep="\n")
    table = Table(
        Column("question", no_wrap=True),
        "value",
        Column("95 % interval", no_wrap=True),
        "by chance",
        Column("where", overflow="fold"),
        caption="By chance: the value if nothing is revealed, measured on unseen patients. Good: not above it.",
    )
    for question, each, where, _ in summary(result.results):
        numbers = format_number(each.value), format_interval(each.interval), format_number(each.real)
        table.add_row(*map(printable, (question, *numbers, where)))
    console.print(table)
    for heading, sentences in (("Conclusions", verdict.conclusions), ("Limitations", verdict.limitations)):
        _print_list(console, heading, [each for each in sentences if each not in verdict.summary])


def _print_list(console: Console, heading: str, sentences: Sequence[str]) -> None:
    if sentences:
        console.print(f"{heading}:", *(f"- {printable(sentence)}" for sentence in sentences), sep="\n")


def _holdout(run: Run, fit_on: str, manifest: Path | None) -> list[MultimodalDataset]:
    if manifest is not None:
        return [read(run, manifest)]
    parts = [run.splits[name] for name in SPLITS if name not in ("train", fit_on) and len(run.splits[name])]
    if not parts:
        raise RunError(
            f"{run.path} has no samples unseen by the model and its densities (fitted on {fit_on}); give a manifest "
            "of other patients with --holdout"
        )
    return parts
