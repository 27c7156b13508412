"""The stages of ``gpu.py`` that need no data: laws, equality with the CPU, steps, and generation."""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator

import plain
import torch
from pairs import CLASSES, LATENT, STILL, batch, dataset, model, parts
from report import duration
from torch import Tensor
from torch.overrides import TorchFunctionMode

import multimodal_vae as mv
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.distributions import product
from multimodal_vae.part import Part
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.testing import LawBroken, laws
from multimodal_vae.trainable import Precision
from multimodal_vae.training.batch_metrics import BatchMetrics, reading_interval
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import train_precision
from multimodal_vae.training.staging import staged

Row = tuple[object, ...]
Step = Callable[[], object]

RATE = 4e-4
FUSIONS = (mv.Concat(dropout=0.3), mv.PoE(), mv.MoE(), mv.MoPoE(), mv.MVTCAE(), mv.JMVAE(), mv.MMVAEPlus(private=2))
METRIC_LOSSES = (mv.Triplet(), mv.SupCon(), mv.ProxyAnchor(), mv.Center())


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished all that is queued."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def laws_of_parts(given: argparse.Namespace) -> Iterator[Row]:
    """Yield one row per fusion and metric loss, and one per closed form."""
    tried: tuple[Part, ...] = (*FUSIONS[:1], *METRIC_LOSSES[:1]) if given.tiny else (*FUSIONS, *METRIC_LOSSES)
    for part in tried:
        of_kind, failed = laws(part.kind), []
        with torch.device(given.device):
            for law in of_kind:
                try:
                    law(part)
                except LawBroken as broken:
                    failed.append(f"{law.name} ({str(broken.actual).splitlines()[0][:200]})")
        yield f"{part.kind} `{part.name}`", len(of_kind) - len(failed), "; ".join(failed) or "none"
    for name, found, expected in closed_forms(torch.device(given.device)):
        error = float((found.cpu().double() - expected).abs().max() / expected.abs().max())
        yield f"closed form: {name}", int(error < 1e-5), f"relative error {error:.1g}" if error >= 1e-5 else "none"


def closed_forms(device: torch.device) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield name, value on a device in float32, and value by torch.distributions or by hand in float64 on the CPU."""
    rng = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    there = mv.Gaussian(mean.float().to(device), logvar.float().to(device))
    one, normal = torch.distributions.Normal(mean, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    yield "KL divergence", there.kl_to_standard_normal(), torch.distributions.kl_divergence(one, normal)
    mask = torch.ones(5, dtype=torch.bool, device=device)
    columns = mv.Gaussian(there.mean.T, there.logvar.T)  # five experts of three rows, in one dimension
    joint = product(mv.Gaussian(columns.mean[..., None], columns.logvar[..., None]), mask.expand(3, 5))
    precision = (-logvar).exp()
    yield "product of experts", joint.mean[:, 0], (precision * mean).sum(0) / precision.sum(0)
    terms = {"kl": mean[:, 0], "metric": mean[0, 1], "reconstruction.x": mean[:, 2]}
    objective = mv.Objective(weights={"x": 2.0}, kl_weight=0.1, metric_weight=0.3)
    total = objective.total({name: x.float().to(device) for name, x in terms.items()}, kl_share=0.5)
    by_hand = 0.05 * terms["kl"].mean() + 0.3 * terms["metric"] + 2 * terms["reconstruction.x"].mean()
    yield "objective", total[None], by_hand[None]
    labels = torch.tensor([0, 0, 1])
    latents = torch.tensor([[0.0], [1.0], [1.1]])
    yield "triplet loss", mv.Triplet(0.2)(latents.to(device), labels.to(device))[None], torch.tensor([0.1]).double()


class NoiseOfTheCPU(TorchFunctionMode):
    """Within a block, the noise of latents is drawn on the CPU, so that it is the same on every device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Call a function of torch, or draw and copy."""
        if function is torch.randn_like:
            return torch.randn(args[0].shape).to(args[0])
        return function(*args, **kwargs or {})


def differences(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the largest relative difference of each quantity between the device and the CPU."""
    width, size, count = (4, 6, 2) if given.tiny else (16, 60, 20)
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    found = [_trained(torch.device(name), width, size, count) for name in ("cpu", given.device)]
    torch.backends.cudnn.allow_tf32 = tf32
    for quantity, expected in found[0].items():
        values = found[1][quantity]
        gaps = [
            (x - y).norm() / x.norm().clamp_min(1e-12) for x, y in zip(expected, values, strict=True) if x.norm() > 1e-6
        ]
        yield quantity, f"{float(max(gaps)):.1e}"


def _trained(device: torch.device, width: int, size: int, count: int) -> dict[str, list[Tensor]]:
    """Return terms and gradients of a first batch, and the losses and weights of a training, on the CPU in float64."""
    vae = mv.MultimodalVAE(parts(width, STILL), CLASSES, "concat", latent_dim=LATENT, seed=0).train().to(device)
    torch.manual_seed(0)
    with NoiseOfTheCPU():
        terms = vae(batch(0, size).to(device))
        vae.total(terms).backward()  # type: ignore[no-untyped-call]
        gradients = [x.grad for x in vae.parameters() if x.grad is not None]
        found = {"terms of the loss": [*terms.values()], "gradients": [x.clone() for x in gradients]}
        optimizer = adam(vae, RATE)
        losses = [train_step(vae, [batch(n, size).to(device)], optimizer)[0]["loss"] for n in range(count)]
    found |= {f"loss after {n + 1} steps": [torch.tensor([losses[n]])] for n in (0, count - 1)}
    found[f"weights after {count} steps"] = [*vae.parameters()]
    return {name: [x.detach().cpu().double() for x in values] for name, values in found.items()}


def steps(given: argparse.Namespace) -> Iterator[Row]:
    """Yield one row per width and implementation; what does not run says why."""
    device = torch.device(given.device)
    widths, per_class, rounds = ([4], 2, 2) if given.tiny else ([64, 32, 16], 20, 100)
    names = ["plain", "float32", "bfloat16"] + ([] if given.tiny else ["float32, compiled", "float32, CUDA graphs"])
    for width in widths:
        for name in names:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            try:
                step = make_step(name, width, device, per_class)
                seconds = _seconds(step, device, rounds)
                yield width, name, duration(seconds), _waits(step, device), _peak(device)
            except (RuntimeError, NotImplementedError) as error:
                yield width, name, f"failed: {str(error).splitlines()[0][:200]}", "", ""


def make_step(name: str, width: int, device: torch.device, per_class: int) -> Step:
    """Return a function that takes one step of an implementation, with metrics that are read as a training does."""
    vae = model(width).to(device)
    data = dataset(30 * per_class, vae.modalities)
    load, drawn = staged(data, device), BalancedBatches(data.labels, CLASSES, per_class, torch.Generator())
    if name == "plain":
        net = plain.PlainVAE(width).to(device)
        plain_optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

        def plain_step() -> float:
            given = load(drawn.draw())
            with torch.no_grad():
                targets = vae.augment(given.samples)
                inputs = vae.corrupt(targets)
            labels = given.labels.to(device)
            return plain.train_step(net, list(inputs.values()), list(targets.values()), labels, plain_optimizer)

        return plain_step
    if name.endswith("compiled"):
        for network in (*vae.encoders, *vae.decoders):
            network.compile()
    if name.endswith("graphs"):
        shapes = [modality.shape for modality in vae.modalities.values()]
        count = len(CLASSES) * per_class
        for encoder, decoder, shape in zip(vae.encoders, vae.decoders, shapes, strict=True):
            torch.cuda.make_graphed_callables(encoder, (torch.rand(count, *shape, device=device),))
            latents = torch.randn(count, LATENT, device=device, requires_grad=True)
            torch.cuda.make_graphed_callables(decoder, (latents,))
    precision: Precision = "bfloat16" if name == "bfloat16" else "float32"
    optimizer = adam(vae, RATE)
    metrics = BatchMetrics(optimizer, device, reading_interval(optimizer, device))

    def step() -> None:
        with train_precision(vae, precision):
            train_step(vae, [load(drawn.draw())], optimizer, metrics=metrics)

    return step


def _seconds(step: Step, device: torch.device, rounds: int) -> float:
    """Return the time per step over some steps in sequence, after a tenth of them."""
    for _ in range(max(1, rounds // 10)):
        step()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(rounds):
        step()
    synchronize(device)
    return (time.perf_counter() - started) / rounds


def _waits(step: Step, device: torch.device) -> object:
    """Return how often the CPU waits for the GPU in a step: the least of three, since one may read metrics."""
    if device.type != "cuda":
        return "not counted"
    counts = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for _ in range(3):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                step()
            counts.append(sum("synchroniz" in str(each.message) for each in caught))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return min(counts)


def _peak(device: torch.device) -> str:
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB" if device.type == "cuda" else "not measured"


def generation(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the time of generating pairs, and of fitting two densities to latents on the device."""
    device = torch.device(given.device)
    width, count, latents = (4, 20, 40) if given.tiny else (64, 100_000, 400)
    vae, part = model(width).eval().to(device), 10_000
    started = time.perf_counter()
    for first in range(0, count, part):
        z = torch.randn(min(part, count - first), LATENT, generator=torch.Generator().manual_seed(first))
        vae.generate(z, batch_size=1000, noise="mean", first=first)
    yield f"{count:,} pairs, width {width}", duration(time.perf_counter() - started)
    z = torch.randn(latents, LATENT, generator=torch.Generator().manual_seed(0)).to(device)
    flow = {"name": "flow", "epochs": 1, "hidden": [4]} if given.tiny else "flow"
    for name, spec in (("kde", "kde"), ("flow", flow)):
        started = time.perf_counter()
        try:
            DensitySampler.of(spec).to(device).fit(z)
            synchronize(device)
            yield f"fit of `{name}` to {latents} latents", duration(time.perf_counter() - started)
        except (RuntimeError, mv.ConfigurationError) as error:
            yield f"fit of `{name}`", f"failed: {str(error).splitlines()[0][:200]}"
