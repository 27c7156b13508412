"""Measure what missing modalities cost, in the package and in MultiVae, by the protocol in MISSING.md.

Needs the environment that ``make .venv-multivae/.installed`` makes.

Usage: OMP_NUM_THREADS=1 .venv-multivae/bin/python benchmarks/missing.py
           [--data digits] [--models ...] [--steps 600] [--seeds 0 1 2] [--rates 0 0.3 0.6]
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from multivae_parts import Decoder, Encoder, IncompleteDataset, MultimodalBaseDataset
from multivae_parts import models as rivals
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch import Tensor, nn

import multimodal_vae as mv
from multimodal_vae.data.batch import UNLABELED, Batch

HIDDEN, LATENT, PRIVATE, RATE, BATCH = 128, 16, 4, 1e-3, 128


class Vectors(mv.Modality):
    """Vectors with a normal likelihood, and the networks that both packages train.

    Args:
        size: elements of a sample.
        scale: standard deviation of the likelihood.
        bounded: whether all elements lie between 0 and 1.
    """

    def __init__(self, size: int, scale: float, bounded: bool) -> None:
        super().__init__()
        self.size, self.scale, self.bounded = size, scale, bounded

    @property
    def shape(self) -> tuple[int, ...]:
        """(size,)."""
        return (self.size,)

    def encoder(self) -> nn.Module:
        """Return a network from samples to 128 features."""
        return nn.Sequential(nn.Linear(self.size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a network from latents to samples."""
        last = nn.Sigmoid() if self.bounded else nn.Identity()
        return nn.Sequential(nn.Linear(latent_dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.size), last)

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the negative log-likelihood per element but for its constant, (N,)."""
        return ((decoded - target) / self.scale).square().mean(1) / 2


Views = Mapping[str, Vectors]


@dataclass
class Rival:
    """A model with the functions that training and metrics need.

    Attributes:
        net: the network.
        loss: mean loss of a batch of samples by modality and their mask (N, modalities).
        complete: predicts all modalities from the given ones.
    """

    net: nn.Module
    loss: Callable[[dict[str, Tensor], Tensor], Tensor]
    complete: Callable[[dict[str, Tensor]], dict[str, Tensor]]


def package_rival(views: Views, fusion: mv.Fusion) -> Rival:
    """Return the package's model with a fusion."""
    objective = {"reduction": "sum", "kl_weight": 1.0, "metric_weight": 0.0}
    vae = mv.MultimodalVAE(views, ["any"], fusion, latent_dim=LATENT, objective=objective)

    def loss(samples: dict[str, Tensor], present: Tensor) -> Tensor:
        count = len(present)
        batch = Batch(samples, present, torch.full((count,), UNLABELED), [str(row) for row in range(count)])
        return vae.objective.total(vae(batch))

    return Rival(vae, loss, lambda given: vae.generate(vae.encode(given).mean))


def multivae_rival(views: Views, kind: str, **settings: object) -> Rival:
    """Return one of MultiVae's models."""
    config = getattr(rivals, f"{kind}Config")(
        n_modalities=2,
        latent_dim=LATENT,
        input_dims={name: view.shape for name, view in views.items()},
        decoders_dist=dict.fromkeys(views, "normal"),
        decoder_dist_params={name: {"scale": view.scale} for name, view in views.items()},
        **settings,
    )
    net = getattr(rivals, kind)(
        config,
        {name: Encoder(view.encoder(), HIDDEN, LATENT) for name, view in views.items()},
        {name: Decoder(view.decoder(LATENT), LATENT) for name, view in views.items()},
    )

    def loss(samples: dict[str, Tensor], present: Tensor) -> Tensor:
        if present.all():
            inputs = MultimodalBaseDataset(samples)
        else:
            inputs = IncompleteDataset(samples, masks={name: present[:, m] for m, name in enumerate(views)})
        value: Tensor = net(inputs, epoch=1).loss
        return value / len(present) if kind == "MMVAE" else value  # the loss of MMVAE is a sum over the batch

    def complete(given: dict[str, Tensor]) -> dict[str, Tensor]:
        net.eval()
        with torch.no_grad():
            # MoPoE encodes all modalities before it selects the subset, so that the others need a placeholder.
            count = len(next(iter(given.values())))
            blank = {name: torch.zeros(count, view.size) for name, view in views.items()}
            inputs = MultimodalBaseDataset({**blank, **given})
            z = net.encode(inputs, cond_mod=list(given), return_mean=True).z
            return {name: net.decoders[name](z).reconstruction for name in views}

    return Rival(net, loss, complete)


MODELS: Mapping[str, Callable[[Views], Rival]] = {
    "concat": lambda views: package_rival(views, mv.Concat(dropout=0.3)),
    "poe": lambda views: package_rival(views, mv.PoE()),
    "MultiVae MVAE": lambda views: multivae_rival(views, "MVAE", warmup=0),
    "moe": lambda views: package_rival(views, mv.MoE()),
    "MultiVae MMVAE": lambda views: multivae_rival(
        views, "MMVAE", K=1, prior_and_posterior_dist="normal", learn_prior=False, loss="iwae_looser"
    ),
    "mopoe": lambda views: package_rival(views, mv.MoPoE()),
    "MultiVae MoPoE": lambda views: multivae_rival(views, "MoPoE"),
    "mvtcae": lambda views: package_rival(views, mv.MVTCAE()),
    "MultiVae MVTCAE": lambda views: multivae_rival(views, "MVTCAE"),
    "MultiVae MVTCAE, package weights": lambda views: multivae_rival(views, "MVTCAE", alpha=5 / 6, beta=1.0),
    "jmvae": lambda views: package_rival(views, mv.JMVAE(prior=True)),
    "jmvae, alpha = 1": lambda views: package_rival(views, mv.JMVAE(alpha=1.0, prior=True)),
    "jmvae, no prior": lambda views: package_rival(views, mv.JMVAE()),
    "MultiVae JMVAE": lambda views: multivae_rival(views, "JMVAE", warmup=1),
    "mmvaeplus": lambda views: package_rival(views, mv.MMVAEPlus(private=PRIVATE)),
}
AFTERWARDS = {"MultiVae MVTCAE, package weights", "jmvae, alpha = 1", "jmvae, no prior"}
"""Models that were added after the protocol."""
COMPLETE_ONLY = {"MultiVae JMVAE"}
"""Models that need all modalities in training."""


@dataclass(frozen=True)
class Real:
    """Real pairs.

    Attributes:
        views: networks and likelihoods by modality.
        samples: training and test samples.
        labels: training and test labels.
        score: accuracy of predicted labels, given the true ones.
    """

    views: Views
    samples: tuple[dict[str, Tensor], dict[str, Tensor]]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    score: Callable[[NDArray[np.int64], NDArray[np.int64]], float]


def digits(seed: int) -> Real:
    """Return scikit-learn's digits in halves, split by a seed."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8).astype(np.float32)
    sides = train_test_split(np.arange(len(images)), train_size=1200, test_size=597, stratify=labels, random_state=seed)
    halves = {"left": images[:, :, :4].reshape(-1, 32), "right": images[:, :, 4:].reshape(-1, 32)}
    samples = [{name: torch.from_numpy(x[rows].copy()) for name, x in halves.items()} for rows in sides]
    views = {name: Vectors(32, scale=0.2, bounded=True) for name in halves}
    return Real(views, (samples[0], samples[1]), (labels[sides[0]], labels[sides[1]]), accuracy_score)


def beats(_: int) -> Real:
    """Return heart beats and their rhythm, standardized by the training records; the file determines the split."""
    with np.load(Path(os.environ["MMVAE_TEST_DATA"]) / "mitbih_beats.npz", allow_pickle=False) as arrays:
        modalities = {"ecg": arrays["ecg"][:, 0], "rhythm": arrays["rhythm"]}
        labels, sides = arrays["y"].astype(np.int64), (arrays["train"], arrays["test"])
    samples: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for name, x in modalities.items():
        training = x[sides[0]]
        axis = 0 if name == "rhythm" else None  # the lead has one unit, the four numbers of the rhythm have several
        for side, rows in zip(samples, sides, strict=True):
            side[name] = torch.from_numpy(((x[rows] - training.mean(axis)) / training.std(axis)).astype(np.float32))
    views = {name: Vectors(x.shape[1], scale=0.5, bounded=False) for name, x in modalities.items()}
    return Real(views, samples, (labels[sides[0]], labels[sides[1]]), balanced_accuracy_score)


REAL: Mapping[str, Callable[[int], Real]] = {"digits": digits, "beats": beats}


class Task:
    """Real pairs with missing cells, their batches, and judges.

    Args:
        real: the pairs.
        seed: of missing cells and batches.
        rate: probability that a cell is missing.
    """

    def __init__(self, real: Real, seed: int, rate: float) -> None:
        self.views = real.views
        self.train, self.test = real.samples
        self.labels, self.score = real.labels[1], real.score
        self.judges = {name: SVC(C=10).fit(x.numpy(), real.labels[0]) for name, x in self.train.items()}
        rng = np.random.default_rng(1000 * seed + round(100 * rate))
        count = len(real.labels[0])
        present = rng.random((count, 2)) >= rate
        empty = ~present.any(1)
        present[empty, rng.integers(2, size=empty.sum())] = True
        self.present = torch.from_numpy(present)
        self.rows = torch.from_numpy(rng.integers(count, size=(100_000, BATCH)))

    def batch(self, step: int) -> tuple[dict[str, Tensor], Tensor]:
        """Return a step's samples, zero where missing, and their mask."""
        rows = self.rows[step]
        present = self.present[rows]
        return {name: x[rows] * present[:, [m]] for m, (name, x) in enumerate(self.train.items())}, present

    def metrics(self, complete: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> tuple[float, float, float]:
        """Return reconstruction error, translation error, and agreement on the test samples."""
        reconstructed = complete(dict(self.test))
        names = list(self.test)
        translated = {to: complete({source: self.test[source]})[to] for source, to in (names, names[::-1])}
        scores = [self.score(self.labels, self.judges[to].predict(x.numpy())) for to, x in translated.items()]
        return self._error(reconstructed), self._error(translated), statistics.mean(scores)

    def _error(self, predicted: Mapping[str, Tensor]) -> float:
        return statistics.mean((predicted[name] - x).square().mean().item() for name, x in self.test.items())


def train(model: Callable[[Views], Rival], task: Task, seed: int, steps: int) -> Rival:
    """Train a model, and return it."""
    torch.manual_seed(seed)
    rival = model(task.views)
    optimizer = torch.optim.Adam(rival.net.parameters(), lr=RATE)
    rival.net.train()
    for step in range(steps):
        optimizer.zero_grad()
        rival.loss(*task.batch(step)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return rival


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", choices=REAL, default="digits")
    arguments.add_argument(
        "--models", nargs="+", choices=MODELS, default=[name for name in MODELS if name not in AFTERWARDS]
    )
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.3, 0.6])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    print("| cells missing | model | reconstruction | translation | agreement |\n|---|---|---|---|---|")
    for rate in options.rates:
        tasks = {seed: Task(REAL[options.data](seed), seed, rate) for seed in options.seeds}
        references = ["real samples", "mean sample"] * (rate == options.rates[0])
        for name in [*references, *(n for n in options.models if not (rate and n in COMPLETE_ONLY))]:
            started, results = time.process_time(), []
            for seed, task in tasks.items():
                if name == "real samples":
                    results.append(task.metrics(lambda _, task=task: task.test))
                elif name == "mean sample":
                    mean = {modality: x.mean(0).expand(len(task.labels), -1) for modality, x in task.train.items()}
                    results.append(task.metrics(lambda _, mean=mean: mean))
                else:
                    results.append(task.metrics(train(MODELS[name], task, seed, options.steps).complete))
            print(f"{name} {rate}: {time.process_time() - started:.1f} CPU seconds", file=sys.stderr)
            cells = [
                f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"
                for values in zip(*results, strict=True)
            ]
            print(f"| {'' if name in references else f'{rate:.0%}'} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
