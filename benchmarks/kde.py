"""Time the choice of a KDE's bandwidth by cross-validated likelihood, compared with scikit-learn.

Usage: python benchmarks/kde.py [--count 284] [--dimensions 128] [--rounds 9]
"""

import argparse
import math
from collections.abc import Iterator

import torch
from report import duration, section, table
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from timing import alternate, print_machine

from multimodal_vae.samplers.kde import cross_validated_log_likelihood

FOLDS = 5
EXACT = "scikit-learn, `leaf_size=N`"
DEFAULT = "scikit-learn, `leaf_size=40`"
PACKAGE = "multimodal_vae"

PROSE = """
{count} latents of {dimensions} dimensions, 41 candidates, 5 folds. scikit-learn is exact if one leaf holds all latents.
Its default saves time with bounds that are inaccurate in so many dimensions.
"""


def timings(count: int, dimensions: int, rounds: int) -> Iterator[tuple[object, ...]]:
    """Yield one table row per implementation."""
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(count, dimensions, generator=rng, dtype=torch.float64)
    grid = torch.logspace(math.log10(0.03), math.log10(3), 41, dtype=torch.float64).tolist()
    scores: dict[str, list[float]] = {}

    def sklearn(name: str, leaf_size: int) -> None:
        search = GridSearchCV(KernelDensity(leaf_size=leaf_size), {"bandwidth": grid}, cv=KFold(FOLDS), refit=False)
        results = search.fit(latents.numpy()).cv_results_
        sums = sum(results[f"split{fold}_test_score"] for fold in range(FOLDS))
        scores[name] = list(sums)

    def package() -> None:
        scores[PACKAGE] = cross_validated_log_likelihood(latents, grid, FOLDS).tolist()

    functions = {
        EXACT: lambda _: sklearn(EXACT, count),
        DEFAULT: lambda _: sklearn(DEFAULT, 40),
        PACKAGE: lambda _: package(),
    }
    for name, timing in alternate(functions, rounds).items():
        own = scores[name]
        error = max(abs(a - b) for a, b in zip(own, scores[EXACT], strict=True)) / count
        best = grid[max(range(len(grid)), key=own.__getitem__)]
        yield name, duration(timing.seconds), timing.speed, f"{best:.3f}", f"{error:.1e}" if error else ""


def main() -> None:
    """Print a table of times, bandwidths and errors."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=284)
    arguments.add_argument("--dimensions", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    print_machine()
    section("A KDE's bandwidth", PROSE.format(count=given.count, dimensions=given.dimensions))
    head = ("implementation", "time", "speedup (quartiles)", "bandwidth", "largest error, nats per latent")
    table(head, timings(given.count, given.dimensions, given.rounds))


if __name__ == "__main__":
    main()
