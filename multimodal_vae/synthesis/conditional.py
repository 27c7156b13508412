"""Samples generated from given ones, as folders: completions, translations and interpolations.

Each folder is a data set that marks its synthetic samples.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from multimodal_vae.files import csv_row, require_vacant, split_csv_row
from multimodal_vae.modalities.base import Noise
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.progress import track
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.completion import Completion, complete
from multimodal_vae.synthesis.folder import CHUNK_SIZE, DRAWN, EXPECTED, ManifestRow, write_folder
from multimodal_vae.synthesis.marks import ORIGINAL
from multimodal_vae.synthesis.tables import label_names

INTERVALS = "intervals.csv"
"""File of the intervals of filled cells of tables, beside the new manifest."""


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

    The new manifest has all columns of the old one, and of the files that were joined to it. Its original cells point
    to the original files, through a link named ``original`` in the folder; its last column names the synthetic
    modalities of each row. For each filled cell of a table, :data:`INTERVALS` has the interval in which 90 % of draws
    lie; see :func:`~multimodal_vae.synthesis.completion.complete`.

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
    columns = {name: modality.columns for name, modality in vae.modalities.items()}
    rows = read_manifest(data.source, [name for name in columns if not columns[name]], data.joined).rows(columns)
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
    tables = _FilledTables.of(vae, data, drawn=seed is not None, seed=seed or 0)
    counts = {name: sum(not row.cells[name] for row in rows) for name in vae.modalities} | tables.counts
    filled = {name: count for name, count in counts.items() if count}

    def completed_rows() -> Iterator[ManifestRow]:
        splits = any(row.split for row in rows)
        for number, row in enumerate(track(rows, "completing")):
            sample = {} if all(row.cells.values()) else next(generated)
            sample |= tables.samples(number)
            cells = {
                name: _original_cell(vae, name, cell) if cell else sample[name] for name, cell in row.cells.items()
            }
            entries = tables.entries(number)
            cells |= {name: tables.cells(number, name, cells[name]) for name in entries if row.cells[name]}
            some = {name: f"{len(each)} entries" for name, each in entries.items() if row.cells[name]}
            yield ManifestRow(_metadata(row, splits), cells, some)

    provenance = {**origin, "manifest": str(data.source), "filled": filled, "seed": seed, **sources.provenance}
    intervals = {INTERVALS: tables.intervals} if tables.counts else {}
    write_folder(out, vae.modalities, completed_rows(), provenance, sources.values, data.source.parent, intervals)
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
        facts = zip(data.ids, data.patients, label_names(data), known, strict=True)
        for name, patient, label, texts in track(facts, "translating", total=len(data)):
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


class _FilledTables(NamedTuple):
    """Tables whose missing entries are filled, by modality, and which entries these are, (N, C)."""

    vae: MultimodalVAE
    ids: Sequence[str]
    filled: Mapping[str, Completion]
    missing: Mapping[str, Tensor]
    drawn: bool

    @classmethod
    def of(cls, vae: MultimodalVAE, data: MultimodalDataset, drawn: bool, seed: int) -> Self:
        """Fill the tables that miss entries."""
        missing: dict[str, Tensor] = {}
        for column, (name, modality) in enumerate(vae.modalities.items()):
            if modality.gaps and modality.columns:
                absent = data.samples[name].isnan() | ~data.present[:, column, None]
                missing |= {name: absent} if absent.any() else {}
        filled = complete(vae, data, list(missing), seed=seed) if missing else {}
        return cls(vae, data.ids, filled, missing, drawn)

    @property
    def counts(self) -> dict[str, int]:
        """Number of filled cells by modality."""
        return {name: int(missing.sum()) for name, missing in self.missing.items()}

    def entries(self, row: int) -> dict[str, list[int]]:
        """Return the columns that were missing in a row, by modality."""
        found = {name: missing[row].nonzero()[:, 0].tolist() for name, missing in self.missing.items()}
        return {name: columns for name, columns in found.items() if columns}

    def samples(self, row: int) -> dict[str, Tensor]:
        """Return the completed samples of a row, by modality."""
        return {name: (each.drawn if self.drawn else each.samples)[row] for name, each in self.filled.items()}

    def cells(self, row: int, name: str, original: str | Tensor) -> str:
        """Return the original cells of a row as its CSV row, with those that were missing filled."""
        modality = self.vae.modalities[name]
        new = split_csv_row(modality.format(self.samples(row)[name]))
        old = split_csv_row(original) if isinstance(original, str) else new
        columns = self.missing[name][row].tolist()
        return csv_row([text if missing else cell for text, cell, missing in zip(new, old, columns, strict=True)])

    @property
    def intervals(self) -> list[list[str]]:
        """A table with one row per filled cell: sample, column, value, and the interval."""
        lines = [["sample_id", "column", "value", "low", "high"]]
        for row, sample_id in enumerate(self.ids):
            for name, columns in self.entries(row).items():
                modality, each = self.vae.modalities[name], self.filled[name]
                bounds = self.samples(row)[name], each.low[row], each.high[row]
                texts = [split_csv_row(modality.format(x)) for x in bounds]
                names = list(modality.columns)
                lines += [[sample_id, names[i], *(text[i] for text in texts)] for i in columns]
        return lines


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
