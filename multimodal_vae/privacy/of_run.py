"""The audit of a run: whose records, which holdout, what is generated, and ``privacy.json``."""

from pathlib import Path

import torch
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import write_json
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.privacy.audit import Audit, audit
from multimodal_vae.privacy.records import Records
from multimodal_vae.run import Run
from multimodal_vae.scopes import evaluating
from multimodal_vae.synthesis.synthesizer import Synthesizer

VERSION = 2
"""Of what ``privacy.json`` holds; it grows when a key changes its meaning or goes."""


def audit_run(
    run: Run, sampler: str | None = None, fit_on: str | None = None, holdout: Path | None = None, seed: int = 0
) -> tuple[Audit, Path]:
    """Audit a run, and write ``privacy.json`` into its folder.

    As many samples of each class are generated as the model was trained on.

    Args:
        run: opened.
        sampler: in place of the run's.
        fit_on: the split that densities are fitted on, in place of the run's.
        holdout: manifest of other patients; where it is None, the run's own validation and test samples, without those
            that densities are fitted on.
        seed: of all that is drawn.

    Returns:
        What was found, and where it is written.

    Raises:
        RunError: if nothing is left to hold out.
        DataError: if the holdout shares a patient with what was learned from, or has too few samples.
    """
    model, splits = run.model, run.splits
    fitted = fit_on or run.configuration.density.fit_on
    synthesizer = run.synthesizer(sampler, fit_on)
    train = _records(model, [splits["train"]])
    counts = train.samples.counts()
    found = audit(
        train,
        None if fitted == "train" else _records(model, [splits[fitted]]),
        _records(model, _held_out(run, fitted, holdout)),
        _generated(synthesizer, {model.classes[label]: count for label, count in counts.items()}, seed),
        seed=seed,
    )
    path = run.path / "privacy.json"
    about = {
        "version": VERSION,
        "sampler": synthesizer.sampler.configuration,
        "fit_on": fitted,
        "holdout": str(holdout) if holdout else "run",
        "seed": seed,
    }
    write_json(path, {**about, **found.to_dict()})
    return found, path


def _held_out(run: Run, fitted: str, manifest: Path | None) -> list[MultimodalDataset]:
    if manifest is not None:
        return [run.configuration.with_data(manifest=manifest.resolve(), classes=run.model.classes).read_data()]
    left = [run.splits[name] for name in SPLITS if name not in ("train", fitted) and len(run.splits[name])]
    if not left:
        raise RunError(
            f"{run.path} has no samples that neither the model nor its densities (fitted on {fitted}) learned from; "
            "give a manifest of other patients with --holdout"
        )
    return left


def _generated(synthesizer: Synthesizer, counts: dict[str, int], seed: int) -> Records:
    classes = synthesizer.vae.classes
    latents = torch.cat(
        [synthesizer.latents(name, count, seed + row) for row, (name, count) in enumerate(counts.items())]
    )
    labels = torch.cat([torch.full((count,), classes.index(name)) for name, count in counts.items()])
    return Records(LabeledSamples(synthesizer.vae.generate(latents), labels), latents)


def _records(model: MultimodalVAE, parts: list[MultimodalDataset]) -> Records:
    """LabeledSamples that are complete and labeled, with embeddings and what the model says of each."""
    found = [
        _of(model, part.subset((part.present.all(1) & (part.labels >= 0)).nonzero()[:, 0].tolist())) for part in parts
    ]
    first = found[0].samples
    return Records(
        LabeledSamples(
            {name: torch.cat([each.samples.values[name] for each in found]) for name in first.values},
            torch.cat([each.samples.labels for each in found]),
            [group for each in found for group in each.groups],
        ),
        torch.cat([each.latents for each in found if each.latents is not None]),
        {name: torch.cat([each.scores[name] for each in found]) for name in found[0].scores},
    )


def _of(model: MultimodalVAE, data: MultimodalDataset) -> Records:
    latents = model.embed(data)
    losses: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in model.modalities}
    with evaluating(model):
        for rows in torch.split(torch.arange(len(data)), 256):
            decoded, samples = model.decode(latents[rows].to(model.device)), data.batch(rows).to(model.device).samples
            for name, modality in model.modalities.items():
                losses[name].append(modality.reconstruction_loss(decoded[name], samples[name]).cpu())
    # Higher where the model knows a record better; together as training weighs them.
    scores = {f"reconstruction/{name}": -torch.cat(parts).double() for name, parts in losses.items()}
    weights = {name: model.objective.weights.get(name, 1.0) for name in model.modalities}
    total = torch.stack([weights[name] * scores[f"reconstruction/{name}"] for name in model.modalities]).sum(0)
    values = {name: data.samples[name] for name in data.modalities}
    return Records(
        LabeledSamples(values, data.labels, list(data.patients)), latents, {"reconstruction": total, **scores}
    )
