"""Samples generated from given ones, as folders: completions, translations and interpolations.

Each folder is a data set that marks its synthetic samples.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from torch import Tensor

from multimodal_vae.checks import checked, require_whole
from multimodal_vae.conditions import nearer_end
from multimodal_vae.data.covariates import texts_of
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import Row, path_in, read_manifest
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.files import require_vacant
from multimodal_vae.modalities.base import Noise
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.folder import CHUNK_SIZE, DRAWN, EXPECTED, ORIGINAL, ManifestRow, write_folder
from multimodal_vae.synthesis.tables import label_names


@checked
def write_completion(
    out: Path,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    origin: Mapping[str, Any],
    seed: int | None = None,
    noise: Noise | None = None,
) -> dict[str, int]:
    """Write a copy of a manifest whose empty cells are generated from the other cells of their row.

    The new manifest has all columns of the old one. Its original cells point to the original files, through a link
    named ``original`` in the folder; its last column names the synthetic modalities of each row.

    Args:
        out: folder to create; it must be empty or not exist.
        vae: trained model, whose fusion accepts the samples' absent modalities.
        data: all samples of a manifest.
        origin: where the model came from, for ``provenance.json``.
        seed: seed of one draw per posterior. Default: decode the posterior means, which vary less than samples do.
        noise: as for :meth:`~multimodal_vae.model.MultimodalVAE.generate`. Default: with a seed, as each modality says;
            without, ``"mean"``.

    Returns:
        The number of filled cells by modality.

    Raises:
        ConfigurationError: if ``noise`` is ``"draw"`` without a seed.
        DataError: if the data has no manifest, the manifest has changed since it was read, or the fusion needs an
            absent modality.
        RunError: if the folder exists or cannot be written.
    """
    require_vacant(out)
    if noise == "draw" and seed is None:
        raise ConfigurationError("noise is 'draw', which needs a seed; set seed")
    vae.check(data)
    if data.source is None:
        raise DataError("data in memory has no manifest to complete; read it with MultimodalDataset.from_manifest")
    rows = read_manifest(data.source, list(vae.modalities))
    if [row.sample_id for row in rows] != data.ids:
        raise DataError(f"{data.source} has changed since it was read; read it again")
    sources = _Sources.of(vae, seed is not None, noise, seed)
    incomplete = (~data.present).any(1).nonzero()[:, 0].tolist()
    generated: Iterator[dict[str, Tensor]] = iter(())
    if incomplete:
        try:
            posterior, given = vae.encode(data.subset(incomplete)), data.covariates[incomplete]
        except DataError as error:
            raise DataError(f"{data.source}, line {rows[incomplete[0]].line}: {error}") from error
        generated = _decode(vae, _draw(posterior, None if seed is None else 1, seed)[:, 0], sources, given)
    counts = {name: sum(not row.cells[name] for row in rows) for name in vae.modalities}
    filled = {name: count for name, count in counts.items() if count}

    def completed_rows() -> Iterator[ManifestRow]:
        splits = any(row.split for row in rows)
        for row in rows:
            sample = {} if all(row.cells.values()) else next(generated)
            cells = {
                name: _original_cell(vae, name, cell) if cell else sample[name] for name, cell in row.cells.items()
            }
            yield ManifestRow(_metadata(row, splits), cells)

    provenance = {**origin, "manifest": str(data.source), "filled": filled, "seed": seed, **sources.provenance}
    write_folder(out, vae.modalities, completed_rows(), provenance, sources.values, data.source.parent)
    return filled


@checked
def write_translations(
    out: Path,
    vae: MultimodalVAE,
    data: MultimodalDataset,
    to: str,
    origin: Mapping[str, Any],
    draws: int | None = None,
    seed: int = 0,
    noise: Noise | None = None,
) -> None:
    """Write one modality, generated from the given ones.

    Args:
        out: folder to create; it must be empty or not exist.
        vae: trained model.
        data: given samples; :meth:`~multimodal_vae.data.dataset.MultimodalDataset.only` hides other modalities.
        to: modality to generate.
        origin: where the model came from, for ``provenance.json``.
        draws: number of draws per posterior, named after their sample and numbered. Default: decode the mean.
        seed: seed of the draws.
        noise: as for :meth:`~multimodal_vae.model.MultimodalVAE.translate`.

    Raises:
        ConfigurationError: if ``draws`` is below 1.
        DataError: if the modality is unknown, or the fusion needs an absent one.
        RunError: if the folder exists or cannot be written.
    """
    require_vacant(out)
    if to not in vae.modalities:
        raise DataError(f"there is no modality {to!r}; {did_you_mean(to, vae.modalities)}")
    latents = _draw(vae.encode(data), draws, seed)
    sources = _Sources.of(vae, draws is not None, noise, seed)
    decoded = _decode(vae, latents.flatten(0, 1), sources, data.covariates.repeat_interleave(latents.shape[1], 0))
    known = texts_of(vae.covariates, data.covariates)

    def rows() -> Iterator[ManifestRow]:
        for name, patient, label, texts in zip(data.ids, data.patients, label_names(data), known, strict=True):
            for number in range(latents.shape[1]):
                sample_id = name if draws is None else f"{name}-{number + 1:0{len(str(draws))}d}"
                metadata = {"sample_id": sample_id, "patient_id": patient, "label": label, **texts}
                yield ManifestRow(metadata, {to: next(decoded)[to]})

    given = [name for name, some in zip(data.modalities, data.present.any(0).tolist(), strict=True) if some]
    provenance = {**origin, "manifest": str(data.source), "given": given, "to": to, "draws": draws, "seed": seed}
    write_folder(out, {to: vae.modalities[to]}, rows(), {**provenance, **sources.provenance}, sources.values)


@checked
def write_interpolation(
    out: Path, vae: MultimodalVAE, pair: MultimodalDataset, steps: int, origin: Mapping[str, Any]
) -> None:
    """Write the interpolation between two samples, numbered from the first to the second.

    Args:
        out: folder to create; it must be empty or not exist.
        vae: trained model.
        pair: the two samples.
        steps: number of steps, both ends included.
        origin: where the model came from, for ``provenance.json``.

    Raises:
        ConfigurationError: if ``steps`` is below 2.
        DataError: if there are not two samples, or the fusion needs an absent modality.
        RunError: if the folder exists or cannot be written.
    """
    require_vacant(out)
    samples = vae.interpolate(pair, steps)
    stem, known = "-".join(pair.ids), texts_of(vae.covariates, nearer_end(pair.covariates, steps))
    rows = (
        ManifestRow(
            {"sample_id": f"{stem}-{step + 1:0{len(str(steps))}d}", "label": "", **known[step]},
            {name: x[step] for name, x in samples.items()},
        )
        for step in range(steps)
    )
    provenance = {**origin, "manifest": str(pair.source), "between": pair.ids, "steps": steps}
    sources = _Sources.of(vae, drawn=False, noise=None, seed=None)
    write_folder(out, vae.modalities, rows, {**provenance, **sources.provenance}, sources.values)


class _Sources(NamedTuple):
    """What generated values are."""

    latents: Literal["draw", "mean"]
    noise: Noise | None
    seed: int | None
    noise_by_modality: Mapping[str, Noise]

    @classmethod
    def of(cls, vae: MultimodalVAE, drawn: bool, noise: Noise | None, seed: int | None) -> Self:
        """Return the default where noise is not asked for: none for means of posteriors, else as the modality says."""
        noise = noise if noise or drawn else "mean"
        return cls("draw" if drawn else "mean", noise, seed, vae.noise_of(noise))

    @property
    def provenance(self) -> dict[str, Any]:
        """What ``provenance.json`` says."""
        return {"latents": self.latents, "noise_by_modality": self.noise_by_modality}

    @property
    def values(self) -> dict[str, str]:
        """What the manifest says, by modality."""
        return {
            name: EXPECTED if self.latents == noise == "mean" else DRAWN
            for name, noise in self.noise_by_modality.items()
        }


def _draw(posterior: Gaussian, draws: int | None, seed: int | None) -> Tensor:
    """Draw latents (N, draws, D) from each posterior; return the means, (N, 1, D), without ``draws``."""
    if draws is None:
        return posterior.mean[:, None]
    require_whole("draws", draws, 1)
    with seeded(seed):
        return posterior.sample(draws)


def _decode(vae: MultimodalVAE, latents: Tensor, sources: _Sources, covariates: Tensor) -> Iterator[dict[str, Tensor]]:
    """Yield decoded samples one by one, with at most one chunk in memory."""
    for first in range(0, len(latents), CHUNK_SIZE):
        chunk, given = (x[first : first + CHUNK_SIZE] for x in (latents, covariates))
        samples = vae.generate(chunk, noise=sources.noise, seed=sources.seed, first=first, covariates=given)
        for row in range(len(chunk)):
            yield {name: x[row] for name, x in samples.items()}


def _metadata(row: Row, splits: bool) -> dict[str, str]:
    """Return a row's columns other than modalities."""
    metadata = {"sample_id": row.sample_id, "patient_id": row.patient_id or row.sample_id, "label": row.label}
    return {**metadata, **({"split": row.split} if splits else {}), **row.metadata}


def _original_cell(vae: MultimodalVAE, name: str, cell: str) -> str:
    """Return an original cell; a path is prefixed by the link to the original folder."""
    return f"{ORIGINAL}/{path_in(cell)}" if vae.modalities[name].cell == "path" else cell
