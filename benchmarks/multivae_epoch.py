"""Time an epoch of training, compared with MultiVae, on the same pairs with the same networks.

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
from multivae_parts import BaseTrainer, BaseTrainerConfig, Decoder, Encoder, MultimodalBaseDataset, models
from pairs import CLASSES, STILL, dataset, parts
from report import duration, section, table
from timing import compared, has_bfloat16, print_machine
from torch import Tensor, nn

from multimodal_vae import MultimodalDataset, MultimodalVAE, fit

LATENT, PER_CLASS, RATE = 128, 20, 4e-4
CHANNELS = {"otoscopy": 3, "wbt": 1}
OBJECTIVE = {
    "weights": {"otoscopy": 0.5, "wbt": 0.5},  # half the square is a normal log-likelihood but for a constant
    "kl_weight": 1.0,
    "metric_weight": 0.1,
    "reduction": "sum",
}

PROSE = """
One epoch of {batches} batches of 60 pairs with the networks of the paper. The rival is MVTCAE of MultiVae 1.0.3 with
its `BaseTrainer`. Both train the same layers on the same samples: a step is one forward and backward pass through
each encoder and decoder, and Adam. Both losses are squared differences of values after a sigmoid, with a KL
divergence.

The differences: MVTCAE has heads per encoder (in all as many weights as the package's heads but for 256 biases), a
product of experts and a divergence per expert; the package has one fused Gaussian and a triplet loss. MultiVae samples
with a DataLoader, the package samples class-balanced batches. Neither has an evaluation set; MultiVae's trainer then
copies the model after each epoch that improved its training loss. Neither shows progress.

*Total* is a training of one epoch as a user calls it, `trainer.train()` and `mv.fit(out=...)`, with folders, logs,
copies and final files. *Steps* is the loop over the batches without files and copies: the trainer's `train_step`, and
the package's own clock of the epoch.
"""


class TimedTrainer(BaseTrainer):  # type: ignore[misc]  # MultiVae has no types
    """MultiVae's trainer with a clock around its loop over the batches."""

    steps = 0.0

    def train_step(self, epoch: int) -> Any:
        """Train one epoch, and store its seconds."""
        started = time.perf_counter()
        result = super().train_step(epoch)
        self.steps = time.perf_counter() - started
        return result


def multivae_trainer(
    width: int, samples: Mapping[str, Tensor], folder: Path, batch: int = 3 * PER_CLASS
) -> TimedTrainer:
    """Return a trainer of MVTCAE that trains one epoch per call."""
    torch.manual_seed(0)
    config = models.MVTCAEConfig(
        n_modalities=2,
        latent_dim=LATENT,
        input_dims={name: (channels, 64, 64) for name, channels in CHANNELS.items()},
        decoders_dist=dict.fromkeys(CHANNELS, "normal"),
        decoder_dist_params={name: {"scale": 1.0} for name in CHANNELS},
    )
    encoders = {name: Encoder(plain.Encoder(each, width), 4 * 8 * width, LATENT) for name, each in CHANNELS.items()}
    decoders = {
        name: Decoder(nn.Sequential(plain.Decoder(each, width, LATENT), nn.Sigmoid()), LATENT)
        for name, each in CHANNELS.items()
    }
    net = models.MVTCAE(config, encoders, decoders)
    training = BaseTrainerConfig(
        output_dir=str(folder), per_device_train_batch_size=batch, num_epochs=1, learning_rate=RATE, no_cuda=True
    )
    return TimedTrainer(net, train_dataset=MultimodalBaseDataset(dict(samples)), training_config=training)


def package_model(width: int, augmented: bool) -> MultimodalVAE:
    """Return the package's model with the same layers."""
    specs = parts(width, None if augmented else STILL, loss={"mse": 1.0})
    return MultimodalVAE(specs, CLASSES, "concat", latent_dim=LATENT, objective=OBJECTIVE, seed=0)


def rivals(
    width: int, data: MultimodalDataset, folder: Path, per_class: int = PER_CLASS
) -> dict[str, Callable[[int], tuple[float, float]]]:
    """Return functions that train one epoch and return the seconds of all and of the steps, by name."""
    trainer = multivae_trainer(width, data.samples, folder / "multivae", 3 * per_class)

    def multivae(_: int) -> tuple[float, float]:
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started, trainer.steps

    models_to_compare = trainer.model, package_model(width, augmented=False)
    sizes = [sum(x.numel() for x in net.parameters()) for net in models_to_compare]
    if sizes[0] != sizes[1] + 2 * LATENT:  # separate heads have equally many weights, and twice the biases
        raise AssertionError(f"MultiVae's model has {sizes[0]:,} weights, the package's {sizes[1]:,}")

    def package(precision: str, augmented: bool) -> Callable[[int], tuple[float, float]]:
        vae = package_model(width, augmented)

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

    functions = {"MultiVae": multivae, "package, float32": package("float32", augmented=False)}
    if has_bfloat16():
        functions["package, bfloat16"] = package("bfloat16", augmented=False)
    functions["package, float32, augmented"] = package("float32", augmented=True)
    return functions


def _steps(out: Path) -> float:
    return float(json.loads((out / "timing.jsonl").read_text("utf-8").splitlines()[-1])["machine.seconds"])


def timings(widths: list[int], batches: int, rounds: int, per_class: int = PER_CLASS) -> Iterator[tuple[object, ...]]:
    """Yield one table row per width and implementation."""
    for width in widths:
        with tempfile.TemporaryDirectory() as folder:
            data = dataset(batches * 3 * per_class, package_model(width, augmented=False).modalities)
            functions = rivals(width, data, Path(folder), per_class)
            spent: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
            for number in range(rounds + 1):
                for name, function in functions.items():
                    spent[name].append(function(number))
        both = [compared({name: [pair[k] for pair in own[1:]] for name, own in spent.items()}) for k in (0, 1)]
        for name in functions:
            total, steps = both[0][name], both[1][name]
            yield width, name, duration(total.seconds), total.speed, duration(steps.seconds), steps.speed


def main() -> None:
    """Print a table with one row per width and implementation."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--widths", type=int, nargs="+", default=[32, 16])
    arguments.add_argument("--batches", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    logging.disable(logging.WARNING)
    print_machine()
    section("An epoch, compared with MultiVae", PROSE.format(batches=given.batches))
    head = ("width", "implementation", "total", "speedup (quartiles)", "steps", "speedup (quartiles)")
    table(head, timings(given.widths, given.batches, given.rounds))


if __name__ == "__main__":
    main()
