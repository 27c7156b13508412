"""MultiVae 1.0.3 in the benchmark of docs/benchmark.md: with its defaults, and tuned on a validation part.

Needs the environment that ``make .venv-multivae/.installed`` makes.
"""

import contextlib
import copy
import functools
import io
import logging
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from multivae_parts import BaseTrainer, BaseTrainerConfig, Decoder, Encoder, MultimodalBaseDataset, models, samplers
from real_measures import Bench, Fitted
from real_sets import Real
from torch import Tensor, nn

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.pixels import PixelClassifier
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers
from multimodal_vae.nn import CompactDecoder, CompactEncoder, mlp

logging.disable(logging.INFO)  # MultiVae logs every epoch

TRIALS, FIRST = 7, 4
"""Trials of a tuning, and how many of them are random; the next change two settings of the best one so far."""

SECONDS, LONGER = 8.0, 4
"""CPU seconds of training per trial; the last trial trains the best settings so far for this many times as long."""

BATCH, CHECKS = 128, 40
"""Samples per step, and validations per trial."""


@dataclass(frozen=True)
class Setting:
    """Settings of a trial.

    Attributes:
        model: one of MultiVae's models.
        latent: latent dimensions.
        rate: initial learning rate of Adam; it falls to zero along a cosine.
        beta: weight of the KL divergence.
        alpha: of MVTCAE and JMVAE.
        scale: standard deviation of the likelihood, of standardized samples.
        family: of the likelihood; zeros and ones always have a Bernoulli distribution.
        hidden: width of the hidden layers.
        depth: number of hidden layers of an encoder or decoder.
        convolutions: whether pictures have the package's compact convolutional networks.
    """

    model: str = "MVTCAE"
    latent: int = 32
    rate: float = 1e-3
    beta: float = 1.0
    alpha: float = 0.83
    scale: float = 0.3
    family: str = "normal"
    hidden: int = 256
    depth: int = 2
    convolutions: bool = False


CHOICES: Mapping[str, Sequence[Any]] = {
    "model": ("MVTCAE", "MVTCAE", "MoPoE", "JMVAE"),
    "latent": (8, 16, 32, 64),
    "rate": (5e-4, 1e-3, 2e-3),
    "beta": (0.3, 1.0, 2.5),
    "alpha": (0.1, 0.5, 0.83),
    "scale": (0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    "family": ("normal", "laplace"),
    "hidden": (128, 256, 512),
    "depth": (1, 2),
    "convolutions": (False, True),
}


class Scaled:
    """Standardization of samples by training samples: vectors by element, signals by channel, pictures as a whole.

    A tenth of the modality's standard deviation is the least one of an element, since some pixels are almost constant.

    Args:
        x: (N, *shape), training samples; if all are zero or one, they are kept.
    """

    def __init__(self, x: Tensor) -> None:
        over = {1: (0,), 2: (0, 2)}.get(x.dim() - 1, (0, 1, 2, 3))
        self.low, self.high = x.amin(over, keepdim=True)[0], x.amax(over, keepdim=True)[0]
        self.binary = bool(((x == 0) | (x == 1)).all())
        center, scale = x.mean(over, keepdim=True)[0], x.std(over, keepdim=True)[0]
        self.center = torch.zeros_like(center) if self.binary else center
        least = 0.1 * float(scale.square().mean().sqrt())
        self.scale = torch.ones_like(scale) if self.binary else scale.clamp_min(least)

    def __call__(self, x: Tensor) -> Tensor:
        """Return scaled samples."""
        return (x - self.center) / self.scale

    def inverse(self, y: Tensor) -> Tensor:
        """Return samples in the unit of the data, within the range of the training samples."""
        return torch.clamp(y * self.scale + self.center, self.low, self.high)


@dataclass(frozen=True)
class Trained:
    """A trained model of MultiVae.

    Attributes:
        net: the model.
        scaling: by modality.
        family: by modality, of the likelihood.
        scale: standard deviation or scale of the likelihood.
    """

    net: Any
    scaling: Mapping[str, Scaled]
    family: Mapping[str, str]
    scale: float = 1.0

    def latents(self, values: Mapping[str, Tensor], mean: bool = True) -> Tensor:
        """Encode samples of some modalities, (N, latent)."""
        count = len(next(iter(values.values())))
        # MoPoE encodes all modalities before it selects the subset, so that the others need a placeholder.
        inputs = {
            name: scaled(values[name]) if name in values else torch.zeros(count, *self.net.input_dims[name])
            for name, scaled in self.scaling.items()
        }
        with torch.no_grad():
            z: Tensor = self.net.eval().encode(MultimodalBaseDataset(inputs), cond_mod=list(values), return_mean=mean).z
        return z

    def decode(self, z: Tensor, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Decode latents to means or, with random numbers, to draws from the likelihood."""
        with torch.no_grad():
            decoded = {name: self.net.decoders[name](z).reconstruction for name in self.scaling}
        return {
            name: scaled.inverse(self._observed(decoded[name], self.family[name], rng))
            for name, scaled in self.scaling.items()
        }

    def _observed(self, decoded: Tensor, family: str, rng: torch.Generator | None) -> Tensor:
        if family == "bernoulli":
            p = decoded.sigmoid()
            return p if rng is None else torch.bernoulli(p, generator=rng)
        if rng is None:
            return decoded
        if family == "normal":
            return decoded + self.scale * torch.randn(decoded.shape, generator=rng)
        u = torch.rand(decoded.shape, generator=rng).clamp(1e-6, 1 - 1e-6) - 0.5
        return decoded - self.scale * u.sign() * torch.log1p(-2 * u.abs())

    def translate(self, given: Mapping[str, Tensor], to: str) -> Tensor:
        """Predict a modality by the mean of the posterior."""
        return self.decode(self.latents(given))[to]

    def fitted(self, train: LabeledSamples, components: int, noise: bool) -> Fitted:
        """Return what the model does with MultiVae's sampler, one mixture per class."""
        mixtures = {}
        for label in train.counts():
            config = samplers.GaussianMixtureSamplerConfig(n_components=components)
            scaled = {name: self.scaling[name](x[train.labels == label]) for name, x in train.values.items()}
            mixtures[label] = samplers.GaussianMixtureSampler(self.net, config)
            mixtures[label].fit(MultimodalBaseDataset(scaled))

        def sample(counts: Mapping[int, int], seed: int) -> LabeledSamples:
            rng = torch.Generator().manual_seed(seed)
            z = []
            for label, count in counts.items():
                mixtures[label].gmm.random_state = seed + label
                z.append(mixtures[label].sample(count).z)
            labels = torch.repeat_interleave(torch.tensor(list(counts)), torch.tensor(list(counts.values())))
            return LabeledSamples(self.decode(torch.cat(z), rng if noise else None), labels)

        @functools.cache
        def classifier(names: tuple[str, ...]) -> PixelClassifier:
            z = self.latents({name: train.values[name] for name in names})
            return PixelClassifier().fit({"latent": z}, train.labels)

        def classify(given: Mapping[str, Tensor]) -> Tensor:
            return classifier(tuple(given)).predict({"latent": self.latents(given)})

        return Fitted(sample, self.translate, classify)


def default(real: Real, seed: int) -> Fitted:
    """Train MVTCAE with MultiVae's default networks, settings, trainer and sampler, but decoders without a sigmoid."""
    scaling = {name: Scaled(real.train.values[name]) for name in real.modalities}
    shapes = {name: tuple(part.shape) for name, part in real.modalities.items()}
    torch.manual_seed(seed)
    config = models.MVTCAEConfig(n_modalities=len(shapes), input_dims=shapes)
    latent, hidden = config.latent_dim, 512
    decoders = {
        name: Decoder(
            nn.Sequential(
                nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(shape)), nn.Unflatten(1, shape)
            ),
            latent,
        )
        for name, shape in shapes.items()
    }
    net = models.MVTCAE(config, None, decoders)
    data = MultimodalBaseDataset({name: scaled(real.train.values[name]) for name, scaled in scaling.items()})
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(output_dir=folder, no_cuda=True, seed=seed)
        trainer = BaseTrainer(net, train_dataset=data, training_config=training)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer.train()
    trained = Trained(trainer._best_model, scaling, dict.fromkeys(shapes, "normal"))
    np.random.seed(seed)  # noqa: NPY002  (scikit-learn's mixtures in MultiVae's sampler use it)
    fitted = trained.fitted(real.train, 10, noise=False)
    return replace(fitted, seconds=time.process_time() - started)


def tuned(real: Real, seed: int, chosen: Mapping[str, Any]) -> Fitted:
    """Train a model on all training samples with the settings that :func:`tune` returns."""
    started = time.process_time()
    trained, _ = train(Setting(**chosen["setting"]), real, real.train, None, seed, steps=chosen["steps"])
    np.random.seed(seed)  # noqa: NPY002  (as above)
    fitted = trained.fitted(real.train, chosen["components"], chosen["noise"])
    return replace(fitted, seconds=time.process_time() - started, notes=chosen)


def tune(real: Real, seconds: float = SECONDS, trials: int = TRIALS) -> dict[str, Any]:
    """Choose settings on a validation part, a quarter of the training samples."""
    groups = [str(number) for number in group_numbers(real.train.groups, len(real.train))]
    rows, held_out = split_by_patient(groups, real.train.labels.tolist(), (0.75, 0.25), 0)
    part = Real(real.modalities, real.train.take(rows), real.train.take(held_out))
    bench, rng = Bench(part, 0), np.random.default_rng(0)
    best: dict[str, Any] = {"score": -math.inf}
    for number in range(trials):
        so_far = Setting(**best["setting"]) if number >= FIRST else None
        last = number == trials - 1
        setting = Setting() if number == 0 else so_far if so_far and last else proposal(rng, so_far)
        try:
            budget = LONGER * seconds if last else seconds
            trained, steps = train(setting, part, part.train, part.test, number, budget)
            told = trained.fitted(part.train, 1, noise=False)
            metrics = bench.translation(told.translate) | bench.classification(told.classify)
            noises = {}
            for components, noise in ((1, False), (1, True), (10, None)):
                noisy = max(noises, key=noises.get) if noise is None else noise
                np.random.seed(number)  # noqa: NPY002  (as above)
                new = trained.fitted(part.train, components, noisy).sample(part.train.counts(), number)
                value = noises[noisy] = score(metrics | bench.generation(new))
                if value > best["score"]:
                    chosen = {"steps": steps, "components": components, "noise": noisy, "setting": asdict(setting)}
                    best = {"score": value, "trial": number, **chosen}
        except (AssertionError, ArithmeticError, ValueError) as error:  # diverged
            print(f"trial {number}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"trial {number}: best {best}", file=sys.stderr, flush=True)
    return best


def score(metrics: Mapping[str, float]) -> float:
    """Return the mean of what the table shows, each 1 at best; R² and C2ST are cut at what is worthless."""
    rates = [metrics[name] for name in ("tstr", "precision", "recall", "coverage")]
    test = min(1.0, 2 * (1 - metrics["c2st"]))
    translated = [max(0.0, value) for name, value in metrics.items() if name.startswith("within ")]
    classes = [value for name, value in metrics.items() if name.startswith("class from ")]
    return statistics.mean([*rates, test, statistics.mean(translated), statistics.mean(classes)])


def proposal(rng: np.random.Generator, best: Setting | None) -> Setting:
    """Return random settings, or the best ones so far with two settings drawn anew."""
    drawn = {name: options[rng.integers(len(options))] for name, options in CHOICES.items()}
    if best is None:
        return Setting(**drawn)
    changed = rng.choice([name for name in CHOICES if drawn[name] != getattr(best, name)], 2, replace=False)
    return replace(best, **{str(name): drawn[str(name)] for name in changed})


def train(
    setting: Setting,
    real: Real,
    samples: LabeledSamples,
    validation: LabeledSamples | None,
    seed: int,
    seconds: float = math.inf,
    steps: int = 0,
) -> tuple[Trained, int]:
    """Train a model for a time, or for a number of steps, and return it with the number of its steps.

    With validation samples, it has the weights of the least validation loss.

    Raises:
        ArithmeticError: if no validation loss is finite.
    """
    torch.manual_seed(seed)
    scaling = {name: Scaled(samples.values[name]) for name in real.modalities}
    family = {name: "bernoulli" if scaled.binary else setting.family for name, scaled in scaling.items()}
    net = build(setting, real.modalities, family)
    inputs, held_out = (
        {name: scaled(part.values[name]) for name, scaled in scaling.items()} if part else {}
        for part in (samples, validation)
    )
    rng, optimizer = np.random.default_rng(seed), torch.optim.Adam(net.parameters(), setting.rate, fused=True)
    started, step, share, due = time.process_time(), 0, 0.0, 0.0
    best, best_loss, best_step = None, math.inf, 0
    while share < 1:
        step += 1
        share = min(1.0, step / steps if steps else (time.process_time() - started) / seconds)
        for group in optimizer.param_groups:
            group["lr"] = setting.rate * 0.5 * (1 + math.cos(math.pi * share))
        rows = rng.integers(len(samples), size=BATCH)
        optimizer.zero_grad()
        net.train()(MultimodalBaseDataset({name: x[rows] for name, x in inputs.items()}), epoch=10).loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 100.0)
        optimizer.step()
        if held_out and share >= due:
            loss, due = _validation_loss(net, held_out), share + 1 / CHECKS
            if loss < best_loss:
                best, best_loss, best_step = copy.deepcopy(net.state_dict()), loss, step
    if held_out:
        if best is None:
            raise ArithmeticError("no validation loss is finite")
        net.load_state_dict(best)
    return Trained(net.eval(), scaling, family, setting.scale), best_step or step


def _validation_loss(net: Any, inputs: Mapping[str, Tensor]) -> float:
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return statistics.mean(float(net.eval()(MultimodalBaseDataset(dict(inputs)), epoch=10).loss) for _ in range(3))


def build(setting: Setting, modalities: Mapping[str, mv.Modality], family: Mapping[str, str]) -> Any:
    """Return an untrained model of MultiVae."""
    encoders, decoders = {}, {}
    layers = [setting.hidden] * setting.depth
    for name, part in modalities.items():
        shape, size = tuple(part.shape), math.prod(part.shape)
        if setting.convolutions and isinstance(part, mv.Image):
            body = nn.Sequential(CompactEncoder(shape), nn.Flatten())
            features = body.eval()(torch.zeros(1, *shape)).shape[1]
            head: nn.Module = CompactDecoder(setting.latent, shape)
        else:
            body, features = nn.Sequential(nn.Flatten(), mlp([size, *layers]), nn.ReLU()), setting.hidden
            head = nn.Sequential(mlp([setting.latent, *layers, size]), nn.Unflatten(1, shape))
        encoders[name] = Encoder(body, features, setting.latent)
        decoders[name] = Decoder(head, setting.latent)
    weights = {"beta": setting.beta}
    if setting.model != "MoPoE":
        weights["alpha"] = setting.alpha
    if setting.model == "JMVAE":
        weights["warmup"] = 1
    config = getattr(models, f"{setting.model}Config")(
        n_modalities=len(modalities),
        latent_dim=setting.latent,
        input_dims={name: tuple(part.shape) for name, part in modalities.items()},
        decoders_dist=dict(family),
        decoder_dist_params={
            name: {} if kind == "bernoulli" else {"scale": setting.scale} for name, kind in family.items()
        },
        **weights,
    )
    return getattr(models, setting.model)(config, encoders, decoders)
