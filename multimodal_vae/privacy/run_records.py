"""The records of a run: its patients' samples and generated ones, as an audit takes them."""

from pathlib import Path

import torch
from torch import Tensor

from multimodal_vae.data.batches import in_order
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.evaluation.features import comparable, compared, with_gaps_of
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.privacy.records import Records
from multimodal_vae.run import Run
from multimodal_vae.scopes import evaluating
from multimodal_vae.synthesis.synthesizer import Synthesizer


def read(run: Run, manifest: Path) -> MultimodalDataset:
    """Return the samples of another manifest."""
    return run.configuration.with_manifest(manifest, run.model.classes).read_data()


def read_generated(run: Run, manifest: Path) -> MultimodalDataset:
    """Return the generated samples of a manifest, all of them; no cache is left beside them."""
    settings = run.configuration.with_manifest(manifest, run.model.classes)
    return settings.with_data(cache=False, unreadable="refuse").read_data()


def usable(data: MultimodalDataset) -> MultimodalDataset:
    """Return the labeled samples that have every modality."""
    return data.subset((data.present.all(1) & (data.labels >= 0)).nonzero()[:, 0].tolist())


def complete(data: MultimodalDataset) -> LabeledSamples:
    """Return the usable samples without what else the data hold."""
    data = usable(data)
    return LabeledSamples({name: data.samples[name] for name in data.modalities}, data.labels, data.patients, gaps=True)


def given_samples(run: Run, manifest: Path, seed: int, real: LabeledSamples) -> Records:
    """Return the generated samples of a manifest, with their embeddings."""
    data = usable(read_generated(run, manifest))
    gapped = with_gaps_of(complete(data), real, run.model.modalities, seed)
    return Records(compared(gapped, run.model.modalities, real.values), run.model.embed(data))


def generate(synthesizer: Synthesizer, counts: dict[str, int], seed: int, real: LabeledSamples) -> Records:
    """Return samples of each class, as ``mmvae sample`` gives them, with their latents."""
    vae = synthesizer.vae
    latents, samples = list[Tensor](), list[dict[str, Tensor]]()
    for name, count in counts.items():
        of_class = seed + vae.classes.index(name)
        latents.append(synthesizer.latents(name, count, of_class))
        given = synthesizer.draw_covariates(name, count, of_class)
        samples.append(synthesizer.decode(latents[-1], name, seed=of_class, covariates=given))
    labels = torch.cat([torch.full((count,), vae.classes.index(name)) for name, count in counts.items()])
    values = {name: torch.cat([each[name] for each in samples]) for name in vae.modalities}
    gapped = with_gaps_of(LabeledSamples(values, labels), real, vae.modalities, seed)
    return Records(compared(gapped, vae.modalities, real.values), torch.cat(latents))


def collect(model: MultimodalVAE, real: LabeledSamples, *parts: MultimodalDataset) -> Records:
    """Return the complete, labeled samples of some parts of the data, with embeddings and scores."""
    records = [_records_of(model, usable(part), real) for part in parts]
    first = records[0]
    return Records(
        LabeledSamples(
            {name: torch.cat([each.samples.values[name] for each in records]) for name in first.samples.values},
            torch.cat([each.samples.labels for each in records]),
            [group for each in records for group in each.groups],
        ),
        torch.cat([each.latents for each in records if each.latents is not None]),
        {name: torch.cat([each.scores[name] for each in records]) for name in first.scores},
    )


def _records_of(model: MultimodalVAE, data: MultimodalDataset, real: LabeledSamples) -> Records:
    latents = model.embed(data)
    losses: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in model.modalities}
    with evaluating(model):
        moved = (each.to(model.device) for each in in_order(data, 256))
        for part, batch in zip(torch.split(latents, 256), moved, strict=True):
            decoded = model.decode(part.to(model.device), covariates=batch.covariates)
            for name, modality in model.modalities.items():
                losses[name].append(modality.reconstruction_loss(decoded[name], batch.samples[name]).cpu())
    scores = {f"reconstruction/{name}": -torch.cat(parts).double() for name, parts in losses.items()}
    weights = {name: model.objective.weights.get(name, 1.0) for name in model.modalities}
    total = torch.stack([weights[name] * scores[f"reconstruction/{name}"] for name in model.modalities]).sum(0)
    values = comparable(model.modalities, {name: data.samples[name] for name in data.modalities}, real.values)
    return Records(
        LabeledSamples(values, data.labels, list(data.patients)), latents, {"reconstruction": total, **scores}
    )
