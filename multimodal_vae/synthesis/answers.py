"""What a model makes of samples that it is given, as folders: completed, translated, on the way from one to another.

Each is itself a data set, and says of what is synthetic in it that it is.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import Row, read_manifest
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.files import require_vacant
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.folder import ORIGINAL, FolderRow, write_folder
from multimodal_vae.synthesis.tables import labels


def complete(
    out: Path, vae: MultimodalVAE, data: MultimodalDataset, origin: Mapping[str, Any], seed: int | None = None
) -> dict[str, int]:
    """Fill a manifest's empty cells with what the model tells from the others of their row, in a folder of its own.

    What was there stays what it was: the new manifest has all columns of the old one, and its cells lead to the
    original files, through a link in the folder named ``original``. Its last column says which cells of a row are
    synthetic.

    Args:
        out: a place that is empty or does not exist.
        vae: trained; its fusion must do without any modality that is absent.
        data: all of a manifest.
        origin: where the model came from, for ``provenance.json``.
        seed: of one draw from each posterior, so that what is told is as varied as the model believes it to be; their
            means are taken where it is None, which vary less than samples do.

    Returns:
        How many cells were filled, by modality.

    Raises:
        DataError: if the data is of no manifest, the manifest is no longer what was read, or the fusion needs what is
            absent.
        RunError: if the place is taken or cannot be written.
    """
    require_vacant(out)
    vae.check(data)
    if data.source is None:
        raise DataError("data in memory cannot be completed, since there is no manifest; read it from one")
    rows = read_manifest(data.source, list(vae.modalities))
    if [row.sample_id for row in rows] != data.ids:
        raise DataError(f"{data.source} is no longer what was read; read it again")
    lacking = (~data.present).any(1).nonzero()[:, 0].tolist()
    told: Iterator[dict[str, Tensor]] = iter(())
    if lacking:
        try:
            posterior = vae.encode(data.subset(lacking))
        except DataError as error:
            raise DataError(f"{data.source}, line {rows[lacking[0]].line}: {error}") from error
        told = _decoded(vae, _drawn(posterior, None if seed is None else 1, seed)[:, 0])
    counts = {name: sum(not row.cells[name] for row in rows) for name in vae.modalities}
    filled = {name: count for name, count in counts.items() if count}

    def entries() -> Iterator[FolderRow]:
        splits = any(row.split for row in rows)
        for row in rows:
            made = {} if all(row.cells.values()) else next(told)
            cells = {name: _kept(vae, name, cell) if cell else made[name] for name, cell in row.cells.items()}
            yield FolderRow(_facts(row, splits), cells)

    facts = {**origin, "manifest": str(data.source), "filled": filled, "seed": seed}
    write_folder(out, vae.modalities, entries(), facts, data.source.parent)
    return filled


def write_translations(
    out: Path,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    to: str,
    origin: Mapping[str, Any],
    draws: int | None = None,
    seed: int = 0,
) -> None:
    """Write one modality as a model tells it from others.

    Args:
        out: a place that is empty or does not exist.
        vae: trained.
        data: with what it is told from; :meth:`~multimodal_vae.data.dataset.MultimodalDataset.only` hides the rest.
        to: the modality that is wanted.
        origin: where the model came from, for ``provenance.json``.
        draws: how many are drawn from each posterior, named after their sample, with a number; the mean where it is
            None.
        seed: of the draws.

    Raises:
        ConfigurationError: if there is less than one draw.
        DataError: if there is no such modality, or the fusion cannot do without one that is absent.
        RunError: if the place is taken or cannot be written.
    """
    require_vacant(out)
    if to not in vae.modalities:
        raise DataError(f"there is no modality {to!r}; {did_you_mean(to, vae.modalities)}")
    latents = _drawn(vae.encode(data), draws, seed)
    decoded = _decoded(vae, latents.flatten(0, 1))

    def entries() -> Iterator[FolderRow]:
        for name, patient, label in zip(data.ids, data.patients, labels(data), strict=True):
            for number in range(latents.shape[1]):
                sample_id = name if draws is None else f"{name}-{number + 1:0{len(str(draws))}d}"
                facts = {"sample_id": sample_id, "patient_id": patient, "label": label}
                yield FolderRow(facts, {to: next(decoded)[to]})

    given = [name for name, some in zip(data.modalities, data.present.any(0).tolist(), strict=True) if some]
    facts = {**origin, "manifest": str(data.source), "given": given, "to": to, "draws": draws, "seed": seed}
    write_folder(out, {to: vae.modalities[to]}, entries(), facts)


def write_interpolation(
    out: Path, vae: MultimodalVAE, pair: MultimodalDataset, steps: int, origin: Mapping[str, Any]
) -> None:
    """Write the way from one sample to another, numbered from the first to the second.

    Args:
        out: a place that is empty or does not exist.
        vae: trained.
        pair: the two.
        steps: how many, both ends included.
        origin: where the model came from, for ``provenance.json``.

    Raises:
        ConfigurationError: if there are fewer than two steps.
        DataError: if there are not two samples, or the fusion cannot do without a modality that one lacks.
        RunError: if the place is taken or cannot be written.
    """
    require_vacant(out)
    made = vae.interpolate(pair, steps)
    stem = "-".join(pair.ids)
    entries = (
        FolderRow(
            {"sample_id": f"{stem}-{row + 1:0{len(str(steps))}d}", "label": ""},
            {name: x[row] for name, x in made.items()},
        )
        for row in range(steps)
    )
    facts = {**origin, "manifest": str(pair.source), "between": pair.ids, "steps": steps}
    write_folder(out, vae.modalities, entries, facts)


def _drawn(posterior: Gaussian, draws: int | None, seed: int | None) -> Tensor:
    """Latents (N, draws, D) from each posterior; its mean alone where draws is None."""
    if draws is None:
        return posterior.mean[:, None]
    if draws < 1:
        raise ConfigurationError(f"draws is {draws}; it must be at least 1, or left out for the posterior's mean")
    with seeded(seed):
        return posterior.sample(draws)


_AT_ONCE = 256


def _decoded(vae: MultimodalVAE, latents: Tensor) -> Iterator[dict[str, Tensor]]:
    """One sample after the other, without more in memory than are decoded at once."""
    for part in torch.split(latents, _AT_ONCE):
        made = vae.generate(part)
        for row in range(len(part)):
            yield {name: x[row] for name, x in made.items()}


def _facts(row: Row, splits: bool) -> dict[str, str]:
    """A row's columns that hold no modality."""
    facts = {"sample_id": row.sample_id, "patient_id": row.patient_id, "label": row.label}
    return {**facts, **({"split": row.split} if splits else {}), **row.metadata}


def _kept(vae: MultimodalVAE, name: str, cell: str) -> str:
    """An original cell: a path now leads through the link."""
    return f"{ORIGINAL}/{cell}" if vae.modalities[name].cell == "path" else cell
