"""A map of the latent: held-out embeddings in two dimensions, and what is shown of each point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.report.measuring import Evidence
from multimodal_vae.report.pictures import data_uri, evenly, sheet, tile

WIDTH, HEIGHT, _EDGE = 640, 460, 22
SIDE = 72
COLUMNS = 20


@dataclass(frozen=True)
class Point:
    """One held-out sample: a place, its class, and facts that tell nothing of whose it is."""

    x: float
    y: float
    label: int
    facts: Mapping[str, str]

    @property
    def words(self) -> str:
        """The point for who cannot see it."""
        return "; ".join(f"{name} {value}" for name, value in self.facts.items())


@dataclass(frozen=True)
class LatentMap:
    """The map, (:data:`WIDTH`, :data:`HEIGHT`).

    Attributes:
        points: in the order of the pictures.
        shares: of the embeddings' variance along each axis.
        sheets: decoded pictures of all points, an address a modality.
        rows: of tiles in each sheet.
        of: how many samples there are; more than points where not all are shown.
    """

    points: Sequence[Point]
    shares: tuple[float, float]
    sheets: Mapping[str, str]
    rows: int
    of: int


def latent_map(modalities: Mapping[str, Modality], evidence: Evidence, most: int) -> LatentMap:
    """Principal components of embeddings, since distances along them mean something, as a t-SNE's do not."""
    rows = evenly(len(evidence.embeddings), most)
    flat, shares = plane(evidence.embeddings)
    flat = flat[rows]
    low, high = flat.min(0), flat.max(0)
    place = (flat - low) / np.where(high > low, high - low, 1)
    points = [
        Point(
            round(_EDGE + float(x) * (WIDTH - 2 * _EDGE), 1),
            round(HEIGHT - _EDGE - float(y) * (HEIGHT - 2 * _EDGE), 1),
            int(evidence.held_out.labels[row]),
            _facts(evidence, row),
        )
        for row, (x, y) in zip(rows, place, strict=True)
    ]
    sheets = {
        name: data_uri(sheet([tile(part, evidence.reconstructions[name][row], SIDE) for row in rows], COLUMNS))
        for name, part in modalities.items()
    }
    return LatentMap(points, shares, sheets, -(-len(rows) // COLUMNS), len(evidence.embeddings))


def plane(embeddings: Tensor) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], tuple[float, float]]:
    """The first two principal components of embeddings, (N, 2), and their shares of the variance."""
    x = embeddings.double().numpy()
    count = min(2, *x.shape)
    pca = PCA(count, svd_solver="full")
    flat = np.zeros((len(x), 2))
    if x.var() > 0:
        flat[:, :count] = pca.fit_transform(x)
    found = [*getattr(pca, "explained_variance_ratio_", []), 0.0, 0.0]
    return flat, (float(found[0]), float(found[1]))


def _facts(evidence: Evidence, row: int) -> dict[str, str]:
    label, judged = int(evidence.held_out.labels[row]), int(evidence.judged[row])
    differences = {
        f"mean difference, {name}": f"{float((x[row] - evidence.held_out.values[name][row]).abs().mean()):.3g}"
        for name, x in evidence.reconstructions.items()
    }
    return {
        "class": evidence.classes[label],
        "decoded pair judged": evidence.classes[judged],
        **{column: groups[row] for column, groups in evidence.groups.items()},
        **differences,
    }
