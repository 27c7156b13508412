"""What missing modalities cost, ours and MultiVae's; MISSING.md is the protocol.

Wants the environment that ``make .venv-multivae/.run`` makes.

Usage: OMP_NUM_THREADS=1 .venv-multivae/bin/python benchmarks/missing.py
           [--steps 600] [--seeds 0 1 2] [--rates 0 0.3 0.6]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch import Tensor, nn

# torchvision without its compiled operators, which MultiVae imports and never calls.
_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import multivae.models as rivals  # noqa: E402
from multivae.data.datasets import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models.base import BaseDecoder, BaseEncoder, ModelOutput  # noqa: E402

import multimodal_vae as mv  # noqa: E402
from multimodal_vae.data.batch import UNLABELLED, Batch  # noqa: E402

HALVES, PIXELS, HIDDEN, LATENT, PRIVATE = ("left", "right"), 32, 128, 16, 4
SCALE, RATE, BATCH = 0.2, 1e-3, 128


def encoder_body() -> nn.Module:
    """32-128-128."""
    return nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())


def decoder_body(latent_dim: int) -> nn.Module:
    """The latent, 128, 32, between 0 and 1."""
    return nn.Sequential(nn.Linear(latent_dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())


class Half(mv.Modality):
    """Half a digit, with a normal likelihood."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(32,)."""
        return (PIXELS,)

    def encoder(self) -> nn.Module:
        """The common one."""
        return encoder_body()

    def decoder(self, latent_dim: int) -> nn.Module:
        """The common one."""
        return decoder_body(latent_dim)

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood but for its constant, by pixel, (N,)."""
        return ((decoded - target) / SCALE).square().mean(1) / 2


class Encoder(BaseEncoder):  # type: ignore[misc]  # no types are known of it
    """The common body, with heads of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = LATENT
        self.body, self.mean, self.logvar = encoder_body(), nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        """Encode (N, 32)."""
        features = self.body(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.logvar(features))


class Decoder(BaseDecoder):  # type: ignore[misc]  # no types are known of it
    """The common body."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = LATENT
        self.body = decoder_body(LATENT)

    def forward(self, z: Tensor) -> ModelOutput:
        """Decode (..., 16)."""
        return ModelOutput(reconstruction=self.body(z))


@dataclass
class Rival:
    """What the common loop and the measures need of a model.

    Attributes:
        net: its weights.
        loss: of samples and of what is present, a mean over the batch.
        tell: all halves, told from those given.
    """

    net: nn.Module
    loss: Callable[[dict[str, Tensor], Tensor], Tensor]
    tell: Callable[[dict[str, Tensor]], dict[str, Tensor]]


def ours(fusion: mv.Fusion) -> Rival:
    """The package's model."""
    objective = {"reduction": "sum", "kl_weight": 1.0, "metric_weight": 0.0}
    vae = mv.MultimodalVAE(dict.fromkeys(HALVES, Half()), ["any"], fusion, latent_dim=LATENT, objective=objective)

    def loss(samples: dict[str, Tensor], present: Tensor) -> Tensor:
        count = len(present)
        batch = Batch(samples, present, torch.full((count,), UNLABELLED), [str(row) for row in range(count)])
        return vae.objective.total(vae(batch))

    return Rival(vae, loss, lambda given: vae.generate(vae.encode(given).mean))


def theirs(kind: str, **settings: object) -> Rival:
    """One of MultiVae's."""
    config = getattr(rivals, f"{kind}Config")(
        n_modalities=2,
        latent_dim=LATENT,
        input_dims=dict.fromkeys(HALVES, (PIXELS,)),
        decoders_dist=dict.fromkeys(HALVES, "normal"),
        decoder_dist_params={name: {"scale": SCALE} for name in HALVES},
        **settings,
    )
    net = getattr(rivals, kind)(config, {name: Encoder() for name in HALVES}, {name: Decoder() for name in HALVES})

    def loss(samples: dict[str, Tensor], present: Tensor) -> Tensor:
        if present.all():
            inputs = MultimodalBaseDataset(samples)
        else:
            inputs = IncompleteDataset(samples, masks={name: present[:, m] for m, name in enumerate(HALVES)})
        value: Tensor = net(inputs, epoch=1).loss
        return value / len(present) if kind == "MMVAE" else value  # whose loss is a sum over the batch

    def tell(given: dict[str, Tensor]) -> dict[str, Tensor]:
        net.eval()
        with torch.no_grad():
            # MoPoE encodes all before it takes the subset's; what it then leaves out may be blank.
            blank = torch.zeros_like(next(iter(given.values())))
            inputs = MultimodalBaseDataset({name: given.get(name, blank) for name in HALVES})
            z = net.encode(inputs, cond_mod=list(given), return_mean=True).z
            return {name: net.decoders[name](z).reconstruction for name in HALVES}

    return Rival(net, loss, tell)


MODELS: Mapping[str, Callable[[], Rival]] = {
    "concat": lambda: ours(mv.Concat(dropout=0.3)),
    "poe": lambda: ours(mv.PoE()),
    "MultiVae MVAE": lambda: theirs("MVAE", warmup=0),
    "moe": lambda: ours(mv.MoE()),
    "MultiVae MMVAE": lambda: theirs(
        "MMVAE", K=1, prior_and_posterior_dist="normal", learn_prior=False, loss="iwae_looser"
    ),
    "mopoe": lambda: ours(mv.MoPoE()),
    "MultiVae MoPoE": lambda: theirs("MoPoE"),
    "mvtcae": lambda: ours(mv.MVTCAE()),
    "MultiVae MVTCAE": lambda: theirs("MVTCAE"),
    "jmvae": lambda: ours(mv.JMVAE()),
    "MultiVae JMVAE": lambda: theirs("JMVAE", warmup=1),
    "mmvaeplus": lambda: ours(mv.MMVAEPlus(private=PRIVATE)),
}
COMPLETE_ONLY = {"MultiVae JMVAE"}


class Task:
    """The data of one seed and rate, its batches, and its judges."""

    def __init__(self, seed: int, rate: float) -> None:
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).reshape(-1, 8, 8).astype(np.float32)
        train, test = train_test_split(
            np.arange(len(images)), train_size=1200, test_size=597, stratify=labels, random_state=seed
        )
        halves = {"left": images[:, :, :4].reshape(-1, PIXELS), "right": images[:, :, 4:].reshape(-1, PIXELS)}
        self.train, self.test = (
            {name: torch.from_numpy(x[rows].copy()) for name, x in halves.items()} for rows in (train, test)
        )
        self.labels = labels[test]
        self.judges = {name: SVC(C=10).fit(x.numpy(), labels[train]) for name, x in self.train.items()}
        self.draw = np.random.default_rng(1000 * seed + round(100 * rate))
        present = self.draw.random((len(train), 2)) >= rate
        nothing = ~present.any(1)
        present[nothing, self.draw.integers(2, size=nothing.sum())] = True
        self.present = torch.from_numpy(present)
        self.rows = torch.from_numpy(self.draw.integers(len(train), size=(100_000, BATCH)))

    def batch(self, step: int) -> tuple[dict[str, Tensor], Tensor]:
        """Samples, zero where they are missing, and what is present."""
        rows = self.rows[step]
        present = self.present[rows]
        return {name: x[rows] * present[:, [m]] for m, (name, x) in enumerate(self.train.items())}, present

    def figures(self, tell: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> tuple[float, float, float]:
        """Reconstruction, translation, agreement."""
        whole = tell(dict(self.test))
        across = {to: tell({source: self.test[source]})[to] for source, to in (HALVES, HALVES[::-1])}
        seen = [float((self.judges[to].predict(x.numpy()) == self.labels).mean()) for to, x in across.items()]
        return self._distance(whole), self._distance(across), statistics.mean(seen)

    def _distance(self, told: Mapping[str, Tensor]) -> float:
        return statistics.mean((told[name] - x).square().mean().item() for name, x in self.test.items())


def trained(model: Callable[[], Rival], task: Task, seed: int, steps: int) -> Rival:
    """One training."""
    torch.manual_seed(seed)
    rival = model()
    optimiser = torch.optim.Adam(rival.net.parameters(), lr=RATE)
    rival.net.train()
    for step in range(steps):
        optimiser.zero_grad()
        rival.loss(*task.batch(step)).backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimiser.step()
    return rival


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=600)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.3, 0.6])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    print("| cells missing | model | reconstruction | translation | agreement |\n|---|---|---|---|---|")
    for rate in options.rates:
        tasks = {seed: Task(seed, rate) for seed in options.seeds}
        names = ["real halves", "mean half"] * (rate == options.rates[0])
        for name in [*names, *(n for n in MODELS if not (rate and n in COMPLETE_ONLY))]:
            started, found = time.process_time(), []
            for seed, task in tasks.items():
                if name == "real halves":
                    found.append(task.figures(lambda _, task=task: task.test))
                elif name == "mean half":
                    mean = {half: x.mean(0).expand(len(task.labels), -1) for half, x in task.train.items()}
                    found.append(task.figures(lambda _, mean=mean: mean))
                else:
                    found.append(task.figures(trained(MODELS[name], task, seed, options.steps).tell))
            print(f"{name} {rate}: {time.process_time() - started:.1f} CPU seconds", file=sys.stderr)
            cells = [
                f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"
                for values in zip(*found, strict=True)
            ]
            print(f"| {'' if name in names else f'{rate:.0%}'} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
