"""A manifest and a recipe for the observations of an ``.h5ad`` or ``.h5mu`` file, with the features that vary most."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tomli_w
from numpy.typing import NDArray
from typer import Option

from multimodal_vae.checks import checked
from multimodal_vae.data.labels import index_classes
from multimodal_vae.data.manifest import SPLITS
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import csv_text, write_new
from multimodal_vae.names import names_of
from multimodal_vae_omics.modality import Matrix, open_file

Criterion = Literal["dispersion", "variance"]
"""How :func:`most_variable` ranks features."""


@checked
def prepare(
    path: Path,
    label: Annotated[str, Option(help="column of obs with the classes")],
    patient: Annotated[str | None, Option(help="column of obs with the patients, or donors; default none")] = None,
    features: Annotated[int, Option(help="number of features per modality", min=1)] = 2000,
    layer: Annotated[str | None, Option(help="layer of raw counts; default X")] = None,
    by: Annotated[Criterion, Option(help="how to choose features")] = "dispersion",
    split: Annotated[tuple[float, float, float], Option(help="training, validation, test")] = (0.7, 0.1, 0.2),
    seed: Annotated[int, Option(help="of the split")] = 0,
) -> Path:
    """Write a manifest and a recipe beside a file, ``NAME.csv`` and ``NAME.toml``, and return the recipe's path.

    Observations are split by patient; without patients, each is independent. The features that vary most among training
    samples are chosen per modality and written into the recipe, which ``mmvae train`` takes.

    Raises:
        DataError: if the file cannot be read, or has no such column or layer.
        RunError: if the manifest or the recipe exists.
    """
    from anndata.io import read_elem

    try:
        with open_file(path) as file:
            obs, assays = read_elem(file["obs"]), list(file.get("mod", {})) or [None]
            for assay in file.get("mod", {}).values():  # what only a modality of an .h5mu file says of observations
                obs = obs.combine_first(read_elem(assay["obs"]).reindex(obs.index))
        for column in [label] if patient is None else [label, patient]:
            if column not in obs:
                raise DataError(f"has no column {column!r} in obs; {did_you_mean(column, map(str, obs))}")
        ids, labels = names_of(obs.index, "names"), names_of(obs[label], "names")
        patients = [""] * len(ids) if patient is None else names_of(obs[patient], "names")
        numbers = index_classes(labels, None, lambda row: f"observation {ids[row]!r}")[1].tolist()
        owners = [owner or name for owner, name in zip(patients, ids, strict=True)]
        parts = split_by_patient(owners, numbers, split, seed)
        split_of = {ids[row]: name for name, rows in zip(SPLITS, parts, strict=True) for row in rows}
        modalities = dict[str, Any]()
        columns = {"sample_id": ids, "patient_id": patients, "label": labels, "split": [split_of[name] for name in ids]}
        for assay in assays:
            with open_file(path) as file:
                matrix = Matrix(file, assay, layer)
                training = (matrix.row(name) for name in matrix.rows if split_of.get(name) == "train")
                chosen = matrix.columns[most_variable(training, features, by)].tolist()
                settings = {"name": "omics", "assay": assay, "layer": layer, "variables": chosen}
                modalities[assay or "counts"] = {key: value for key, value in settings.items() if value is not None}
                columns[assay or "counts"] = [f"{path.name}#{name}" if name in matrix.rows else "" for name in ids]
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    manifest, recipe = path.with_suffix(".csv"), path.with_suffix(".toml")
    write_new(manifest, csv_text([[*columns], *zip(*columns.values(), strict=True)]).encode())
    content = {"data": {"manifest": str(manifest), "split": "given"}, "modalities": modalities}
    write_new(recipe, tomli_w.dumps(content).encode())
    return recipe


def most_variable(rows: Iterable[NDArray[np.float32]], count: int, by: Criterion = "dispersion") -> NDArray[np.int64]:
    """Return the ascending columns of the ``count`` features that vary most among rows, counts (features,) of samples.

    Each row is scaled to a total of 10,000. ``"dispersion"`` ranks by the logarithm of variance over mean, standardized
    among features with similar means (Satija et al., *Spatial reconstruction of single-cell gene expression data*,
    2015); ``"variance"`` by the variance of ``log(1 + x)``. Features that are always 0 come last. Only sums are kept.

    Example:
        >>> most_variable(np.array([[5, 9, 1, 5], [5, 1, 9, 5]], np.float32), 2, by="variance")
        array([1, 2])
    """
    number, sums, squares = 0, np.zeros(1), np.zeros(1)
    for row in rows:
        values = row.astype(np.float64) * 1e4 / max(1.0, float(row.sum()))
        values = np.log1p(values) if by == "variance" else values
        number, sums, squares = number + 1, sums + values, squares + values**2
    mean = sums / max(1, number)
    score = np.maximum(squares / max(1, number) - mean**2, 0)
    if by == "dispersion":
        dispersion = np.log((score + 1e-12) / (mean + 1e-12))
        used = np.argsort(mean, kind="stable")[np.count_nonzero(mean == 0) :]
        for group in np.array_split(used, min(20, 1 + len(used) // 20)):  # of features with similar means
            within = dispersion[group]
            score[group] = (within - within.mean()) / (within.std() + 1e-12) if len(group) else 0
    score[sums == 0] = -np.inf
    return np.sort(np.argsort(-score, kind="stable")[:count])
