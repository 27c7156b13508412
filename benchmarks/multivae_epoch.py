"""An epoch of training, ours and MultiVae's, on the same pairs with the same networks.

Needs the environment with MultiVae 1.0.3 that ``make .venv-multivae/.installed`` makes.

Usage: .venv-multivae/bin/python benchmarks/multivae_epoch.py [--widths 32 16] [--batches 8] [--rounds 9]
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # both train without a display

import plain
import torch
from multivae_parts import (
    BaseDecoder,
    BaseEncoder,
    BaseTrainer,
    BaseTrainerConfig,
    ModelOutput,
    MultimodalBaseDataset,
    models,
)
from pairs import CLASSES, STILL, dataset, parts
from report import duration, section, table
from timing import compared, has_bfloat16, print_machine
from torch import Tensor

from multimodal_vae import MultimodalDataset, MultimodalVAE, fit

LATENT, PER_CLASS, RATE = 128, 20, 4e-4
CHANNELS = {"otoscopy": 3, "wbt": 1}
OBJECTIVE = {
    "weights": {"otoscopy": 0.5, "wbt": 0.5},  # half the square is a normal distribution's, to a constant
    "kl_weight": 1.0,
    "metric_weight": 0.1,
    "reduction": "sum",
}

PROSE = """
{batches} batches of 60 pairs in one epoch, on the networks of the paper, MVTCAE of MultiVae 1.0.3 with its own
`BaseTrainer`. Both train the same layers on the same samples: a step is one pass through each encoder and one through
each decoder, forward and backward, and Adam. Both losses are squared differences of values after a sigmoid, with a KL
divergence.

What differs: MVTCAE gives each encoder heads of its own, as many weights in all as ours on the features of both but
for 256 biases, makes a product of experts of them, and has a divergence for each; ours has one fused Gaussian, and
mines triplets besides. Theirs draws with a DataLoader, ours draws class-balanced batches. Theirs is given no
evaluation set, and ours none either: then its trainer keeps a deep copy of the model after each epoch that improved
on its training loss. Neither shows anything.

*All* is a whole training of one epoch as each library's user calls it, `trainer.train()` and `mv.fit(out=...)`, with
folders, logs, copies and final files. *Steps* is the passage through the batches alone, without files and copies:
their trainer's own `train_step`, our epoch by its own clock.
"""


class Encoder(BaseEncoder):  # type: ignore[misc]  # no types are known of it
    """The plain encoder, with heads of its own."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.latent_dim = LATENT
        self.body = plain.Encoder(channels, width)
        self.heads = plain.Heads(4 * 8 * width, LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        """Encode (N, channels, 64, 64)."""
        features = self.body(x)
        return ModelOutput(embedding=self.heads.mean(features), log_covariance=self.heads.logvar(features))


class Decoder(BaseDecoder):  # type: ignore[misc]  # no types are known of it
    """The plain decoder."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.latent_dim = LATENT
        self.body = plain.Decoder(channels, width, LATENT)

    def forward(self, z: Tensor) -> ModelOutput:
        """Decode (N, latent)."""
        return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))


class TimedTrainer(BaseTrainer):  # type: ignore[misc]  # no types are known of it
    """Their trainer, with a clock round its passage through the batches."""

    steps = 0.0

    def train_step(self, epoch: int) -> Any:
        """Theirs."""
        started = time.perf_counter()
        result = super().train_step(epoch)
        self.steps = time.perf_counter() - started
        return result


def theirs(width: int, samples: Mapping[str, Tensor], folder: Path, batch: int = 3 * PER_CLASS) -> TimedTrainer:
    """A trainer of MVTCAE, of one epoch each time it is asked to train."""
    torch.manual_seed(0)
    config = models.MVTCAEConfig(
        n_modalities=2,
        latent_dim=LATENT,
        input_dims={name: (channels, 64, 64) for name, channels in CHANNELS.items()},
        decoders_dist=dict.fromkeys(CHANNELS, "normal"),
        decoder_dist_params={name: {"scale": 1.0} for name in CHANNELS},
    )
    net = models.MVTCAE(
        config,
        {name: Encoder(channels, width) for name, channels in CHANNELS.items()},
        {name: Decoder(channels, width) for name, channels in CHANNELS.items()},
    )
    training = BaseTrainerConfig(
        output_dir=str(folder), per_device_train_batch_size=batch, num_epochs=1, learning_rate=RATE, no_cuda=True
    )
    return TimedTrainer(net, train_dataset=MultimodalBaseDataset(dict(samples)), training_config=training)


def ours(width: int, augmented: bool) -> MultimodalVAE:
    """The package's model, with the same layers."""
    specs = parts(width, None if augmented else STILL, loss={"mse": 1.0})
    return MultimodalVAE(specs, CLASSES, latent_dim=LATENT, objective=OBJECTIVE, seed=0)


def rivals(
    width: int, data: MultimodalDataset, folder: Path, per_class: int = PER_CLASS
) -> dict[str, Callable[[int], tuple[float, float]]]:
    """Each trains for one epoch, and gives the seconds of all and of the steps."""
    trainer = theirs(width, data.samples, folder / "theirs", 3 * per_class)

    def multivae(_: int) -> tuple[float, float]:
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started, trainer.steps

    same = ours(width, augmented=False)
    sizes = [sum(x.numel() for x in net.parameters()) for net in (trainer.model, same)]
    if sizes[0] != sizes[1] + 2 * LATENT:  # heads for each encoder have as many weights, and a bias more each
        raise AssertionError(f"MultiVae's model has {sizes[0]:,} weights, ours {sizes[1]:,}")

    def package(precision: str, augmented: bool) -> Callable[[int], tuple[float, float]]:
        vae = ours(width, augmented)

        def epoch(number: int) -> tuple[float, float]:
            out = folder / f"{precision}-{augmented}-{number}"
            own = MultimodalDataset(
                vae.modalities, data.samples, data.present, data.labels, data.classes, data.ids, data.patients
            )
            started = time.perf_counter()
            fit(
                vae,
                own,
                out=out,
                show=False,
                epochs=1,
                per_class=per_class,
                learning_rate=RATE,
                precision=precision,
                device="cpu",
            )
            return time.perf_counter() - started, _steps(out)

        return epoch

    functions = {"MultiVae": multivae, "ours, float32": package("float32", augmented=False)}
    if has_bfloat16():
        functions["ours, bfloat16"] = package("bfloat16", augmented=False)
    functions["ours, float32, augmented"] = package("float32", augmented=True)
    return functions


def _steps(out: Path) -> float:
    return float(json.loads((out / "timing.jsonl").read_text("utf-8").splitlines()[-1])["machine.seconds"])


def timed(widths: list[int], batches: int, rounds: int, per_class: int = PER_CLASS) -> Iterator[tuple[object, ...]]:
    """A row for each width and rival."""
    for width in widths:
        with tempfile.TemporaryDirectory() as folder:
            data = dataset(batches * 3 * per_class, ours(width, augmented=False).modalities)
            functions = rivals(width, data, Path(folder), per_class)
            spent: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
            for number in range(rounds + 1):
                for name, function in functions.items():
                    spent[name].append(function(number))
        both = [compared({name: [pair[k] for pair in own[1:]] for name, own in spent.items()}) for k in (0, 1)]
        for name in functions:
            whole, steps = both[0][name], both[1][name]
            yield width, name, duration(whole.seconds), whole.speed, duration(steps.seconds), steps.speed


def main() -> None:
    """Print a line for each width and rival."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--widths", type=int, nargs="+", default=[32, 16])
    arguments.add_argument("--batches", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    logging.disable(logging.WARNING)
    print_machine()
    section("An epoch, beside MultiVae", PROSE.format(batches=given.batches))
    head = ("width", "", "all", "times as fast (quartiles)", "steps", "times as fast (quartiles)")
    table(head, timed(given.widths, given.batches, given.rounds))


if __name__ == "__main__":
    main()
