"""A manifest and a recipe for the observations of an ``.h5ad`` or ``.h5mu`` file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from multimodal_vae.checks import checked
from multimodal_vae.data.labels import index_classes
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import csv_text, write_new
from multimodal_vae.names import names_of
from multimodal_vae_omics.matrix import open_file, open_matrix
from multimodal_vae_omics.variable import Criterion, most_variable


@checked
def prepare(
    path: Path,
    label: str,
    patient: str | None = None,
    features: int = 2000,
    layer: str | None = None,
    by: Criterion = "dispersion",
    split: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> Path:
    """Write a manifest and a recipe beside a file, ``NAME.csv`` and ``NAME.toml``, and return the recipe's path.

    Observations are split by patient. The features that vary most among training samples are chosen per modality and
    written into the recipe, which ``mmvae train`` takes.

    Args:
        path: an ``.h5ad`` or ``.h5mu`` file of raw counts.
        label: column of ``obs`` with the classes.
        patient: column of ``obs`` with the patients, or donors. Default: each observation is independent.
        features: number of features per modality.
        layer: layer that holds raw counts. Default: ``X``.
        by: how to choose the features; see :func:`most_variable`.
        split: shares of training, validation and test.
        seed: seed of the split.

    Raises:
        DataError: if the file cannot be read, or has no such column or layer.
        RunError: if the manifest or the recipe exists.
    """
    try:
        with open_file(path) as file:
            obs, assays = _observations(file), list(file.get("mod", {})) or [None]
        table = obs.assign(patient_id="") if patient is None else obs.rename(columns={patient: "patient_id"})
        for column in (label, "patient_id"):
            if column not in table:
                missing = label if column == label else str(patient)
                raise DataError(f"has no column {missing!r} in obs; {did_you_mean(missing, map(str, obs))}")
        ids, labels, patients = (names_of(x, "names") for x in (obs.index, table[label], table["patient_id"]))
        numbers = index_classes(labels, None, lambda row: f"observation {ids[row]!r}")[1].tolist()
        owners = [owner or name for owner, name in zip(patients, ids, strict=True)]
        parts = split_by_patient(owners, numbers, split, seed)
        split_of = {ids[row]: name for name, rows in zip(SPLITS, parts, strict=True) for row in rows}
        modalities, cells = dict[str, Any](), list[list[str]]()
        for assay in assays:
            with open_matrix(path, assay, layer) as matrix:
                training = (matrix.row(name) for name in matrix.rows if split_of.get(name) == "train")
                places, columns = most_variable(training, features, by), list(matrix.columns)
                settings = {"name": "omics", "assay": assay, "layer": layer, "variables": [columns[n] for n in places]}
                modalities[assay or "counts"] = {key: value for key, value in settings.items() if value is not None}
                cells.append([f"{path.name}#{name}" if name in matrix.rows else "" for name in ids])
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    header = ["sample_id", "patient_id", "label", "split", *modalities]
    rows = zip(ids, patients, labels, map(split_of.get, ids), *cells, strict=True)
    manifest, recipe = path.with_suffix(".csv"), path.with_suffix(".toml")
    write_new(manifest, csv_text([header, *map(list, rows)]).encode())
    write_new(
        recipe,
        tomli_w.dumps({"data": {"manifest": str(manifest), "split": "given"}, "modalities": modalities}).encode(),
    )
    return recipe


def _observations(file: Any) -> Any:
    """Return the table of observations, with what only the modalities of an ``.h5mu`` file say of them."""
    from anndata.io import read_elem

    table = read_elem(file["obs"])
    for assay in file.get("mod", {}).values():
        table = table.combine_first(read_elem(assay["obs"]).reindex(table.index))
    return table
