"""Choosing a KDE's bandwidth by cross-validated likelihood: ours against scikit-learn's.

Usage: python benchmarks/kde.py [--count 284] [--dimensions 128] [--rounds 5]
"""

import argparse
import math

import torch
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from timing import alternate, print_machine

from multimodal_vae.samplers.kde import cross_validated_log_likelihood

FOLDS = 5


def main() -> None:
    """Print a line each: exact, which is ours and theirs with one leaf, and theirs as it comes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=284)
    arguments.add_argument("--dimensions", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    print_machine()
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(given.count, given.dimensions, generator=rng, dtype=torch.float64)
    grid = torch.logspace(math.log10(0.03), math.log10(3), 41, dtype=torch.float64).tolist()
    scores: dict[str, list[float]] = {}

    def theirs(name: str, leaf_size: int) -> None:
        search = GridSearchCV(KernelDensity(leaf_size=leaf_size), {"bandwidth": grid}, cv=KFold(FOLDS), refit=False)
        results = search.fit(latents.numpy()).cv_results_
        sums = sum(results[f"split{fold}_test_score"] for fold in range(FOLDS))
        scores[name] = list(sums)

    def ours() -> None:
        scores["ours"] = cross_validated_log_likelihood(latents, grid, FOLDS).tolist()

    seconds, ratios = alternate(
        {
            "scikit-learn, leaf_size=N": lambda _: theirs("scikit-learn, leaf_size=N", given.count),
            "scikit-learn, leaf_size=40": lambda _: theirs("scikit-learn, leaf_size=40", 40),
            "ours": lambda _: ours(),
        },
        given.rounds,
    )
    exact = next(iter(scores.values()))
    for name, own in scores.items():
        off = max(abs(a - b) for a, b in zip(own, exact, strict=True)) / given.count
        best = grid[max(range(len(grid)), key=own.__getitem__)]
        print(
            f"{name:27}  {1000 * seconds[name]:7.1f} ms  {ratios[name]:5.1f}x  bandwidth {best:.3f}  "
            f"off by up to {off:.1e} nats a latent"
        )


if __name__ == "__main__":
    main()
