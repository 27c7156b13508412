"""Draw the figures of the concept pages with the library itself.

Run: ``python docs/tools/pictures.py docs/images/concepts``.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

import multimodal_vae as mv
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.distances import nearest
from multimodal_vae.distributions import product
from multimodal_vae.privacy.membership import Attack

BLUE, ORANGE, GREEN, GRAY = "#3b6fb6", "#d9822b", "#3a8f5c", "#8a8f98"


def one_latent() -> Figure:
    """Draw two encoders, one latent and two decoders."""
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 3))
    ax.set_axis_off()

    def box(x: float, y: float, text: str, color: str, width: float = 1.5) -> None:
        ax.add_patch(FancyBboxPatch((x, y - 0.3), width, 0.6, boxstyle="round,pad=0.06", fc="white", ec=color, lw=1.5))
        ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=10)

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GRAY, "lw": 1.2})

    for y, name, color in ((2.3, "image", BLUE), (0.7, "sound", ORANGE)):
        box(0.2, y, name, color, 1.1)
        box(1.9, y, "encoder", color)
        box(6.7, y, "decoder", color)
        box(8.7, y, f"new {name}", color, 1.1)
        arrow((1.4, y), (1.8, y))
        arrow((3.5, y), (4.1, 1.6 if y > 1.5 else 1.4))
        arrow((5.9, 1.6 if y > 1.5 else 1.4), (6.6, y))
        arrow((8.3, y), (8.6, y))
    box(4.2, 1.5, "fusion: one z", GREEN, 1.6)
    ax.text(
        5.0, 0.55, "metric loss: clusters\ndensity: new z per class", ha="center", va="center", fontsize=9, color=GREEN
    )
    return figure


def fusion() -> Figure:
    """Draw the posteriors of two modalities, their product and their mixture."""
    x = torch.linspace(-4, 6, 400)[:, None]
    mean, logvar = torch.tensor([-0.5, 2.0])[None, :, None], torch.tensor([0.0, -0.8])[None, :, None]
    experts = mv.Gaussian(mean, logvar)  # one sample, two modalities, one dimension
    both = product(experts, torch.ones(1, 2, dtype=torch.bool), prior=True)
    densities = [mv.Gaussian(mean[:, m].expand_as(x), logvar[:, m].expand_as(x)).log_prob(x).exp() for m in (0, 1)]
    fused = mv.Gaussian(both.mean.expand_as(x), both.logvar.expand_as(x)).log_prob(x).exp()
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for ax, title, line in zip(
        figure.subplots(1, 2, sharey=True),
        ("product of experts, with the prior", "mixture of experts"),
        (fused, (densities[0] + densities[1]) / 2),
        strict=True,
    ):
        ax.plot(x[:, 0], densities[0], color=BLUE, ls="--", label="q(z | image)")
        ax.plot(x[:, 0], densities[1], color=ORANGE, ls="--", label="q(z | sound)")
        ax.plot(x[:, 0], line, color=GREEN, lw=2, label="q(z | both)")
        ax.set(title=title, xlabel="z", yticks=[])
        ax.legend(frameon=False, fontsize=8)
    return figure


def metric_loss() -> Figure:
    """Draw an anchor, a positive and three negatives, with the margin."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    ax = figure.subplots()
    near, margin = 1.5, 0.8
    ax.add_patch(Circle((0, 0), near + margin, fc="#d9822b22", ec=ORANGE, ls="--"))
    ax.add_patch(Circle((0, 0), near, fc="white", ec=BLUE, ls="--"))
    ax.plot(0, 0, "o", color=BLUE, ms=10)
    ax.plot(near * 0.8, near * 0.6, "o", color=BLUE, ms=10)
    ax.plot([0, near * 0.8], [0, near * 0.6], color=BLUE, lw=1)
    ax.text(0.1, -0.3, "anchor a")
    ax.text(near * 0.8 - 0.75, near * 0.6 + 0.2, "positive p")
    for (x, y), name in {(-0.7, 0.6): "hard", (-1.5, -1.1): "semi-hard", (2.3, -1.6): "easy: no loss"}.items():
        ax.plot(x, y, "s", color=ORANGE, ms=9)
        ax.text(x + 0.15, y + 0.12, name)
    ax.text(0, -near - margin + 0.15, "within the margin", ha="center", fontsize=9, color=ORANGE)
    ax.set(xlim=(-2.6, 4.6), ylim=(-2.6, 2.6), aspect="equal")
    ax.set_axis_off()
    return figure


def densities() -> Figure:
    """Draw the latents of one class and the densities of four samplers."""
    rng = torch.Generator().manual_seed(0)
    angle = torch.rand(60, generator=rng) * 3.0
    latents = torch.stack([angle.cos(), angle.sin()], 1) * 1.5 + 0.15 * torch.randn(60, 2, generator=rng)
    axis = torch.linspace(-2.6, 2.6, 120)
    grid = torch.cartesian_prod(axis, axis)
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    samplers: dict[str, mv.DensitySampler] = {
        "kde": mv.KDE(),
        "gaussian": mv.ShrunkGaussian(),
        "gmm, 3 components": mv.GMM(components=3),
        "prior": mv.Prior(),
    }
    for ax, (name, sampler) in zip(figure.subplots(1, 4), samplers.items(), strict=True):
        density = sampler.fit(latents)().log_prob(grid).exp().reshape(120, 120).T
        ax.contourf(axis, axis, density.detach(), levels=12, cmap="Greens")
        ax.plot(*latents.T, ".", color=BLUE, ms=3)
        ax.set(title=name, xticks=[], yticks=[], aspect="equal")
    return figure


def privacy() -> Figure:
    """Draw the distances of training and held-out records to generated samples."""
    rng = torch.Generator().manual_seed(0)
    members, others = (torch.randn(300, 8, generator=rng) for _ in range(2))
    fresh = torch.randn(600, 8, generator=rng)
    copied = members.repeat(2, 1) + 0.4 * torch.randn(600, 8, generator=rng)
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    generators = {"draws new samples": fresh, "copies with noise": copied}
    for ax, (name, samples) in zip(figure.subplots(1, 2, sharey=True), generators.items(), strict=True):
        distances = [nearest(x, samples)[0][:, 0] for x in (members, others)]
        area = Attack(-distances[0], -distances[1]).auc()
        bins = np.linspace(0, 4.5, 40)
        ax.hist(distances[0], bins, alpha=0.6, color=ORANGE, label="training")
        ax.hist(distances[1], bins, alpha=0.6, color=BLUE, label="holdout")
        ax.set(title=f"a generator that {name}: area {area:.2f}", xlabel="distance to the nearest sample", yticks=[])
        ax.legend(frameon=False, fontsize=8)
    return figure


def defaults() -> Figure:
    """Draw samples of two elements, of which one has a limit, and draws with independent and with dependent noise."""
    torch.manual_seed(0)
    vector, count = mv.Vector(size=2), 400
    common = torch.randn(count, 1)
    samples = torch.tensor([1.0, 0.5]) + 0.9 * common + 0.4 * torch.randn(count, 2)
    samples[:, 1].clamp_(min=0.0)
    limits = torch.tensor([[-torch.inf, 0.0], [torch.inf, torch.inf]])
    decoded = torch.cat([torch.tensor([[1.0, 0.5], [1.0, 1.0]]), limits]).expand(count, 4, 2)
    dependence = NoiseDependence(vector)
    independent = dependence.draw(vector, decoded)
    dependence.measure(vector.likelihood(decoded), samples, torch.zeros(count))
    panels = {
        "samples": samples,
        "draws, independent noise": independent,
        "draws, noise as of residuals": dependence.draw(vector, decoded),
    }
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for ax, (name, points) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items(), strict=True):
        ax.plot(*points.T, ".", color=BLUE if name == "samples" else GREEN, ms=3)
        ax.set(title=name, xlabel="one element")
    figure.axes[0].set_ylabel("another, with a limit at 0")
    return figure


def which() -> Figure:
    """Draw the class agreement of translations by the share of missing cells, from the tables of the benchmark."""
    text = (Path(__file__).parents[2] / "benchmarks" / "MISSING.md").read_text("utf-8").partition("## Results")[2]
    colors = {"concat": GRAY, "poe": "#b04a5a", "moe": ORANGE, "mopoe": GREEN, "mvtcae": BLUE}
    colors |= {"jmvae without the prior *": "#8c6d3f", "mmvaeplus": "#7a5ba8"}
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, title in zip(axes, ("Digits", "Heart beats"), strict=True):
        section = text.partition(f"### {title}\n")[2].partition("\n### ")[0]
        table = section[section.index("| agreement |") :]
        rows = {cells[1].strip(): cells[2:5] for cells in (line.split("|") for line in table.splitlines()) if cells[5:]}
        for shift, (name, color) in enumerate(colors.items()):
            means, deviations = zip(*(map(float, cell.split("±")) for cell in rows[name]), strict=True)
            missing = np.array([0, 30, 60]) + (shift - 3) * 0.6  # side by side, so that bars do not hide each other
            ax.errorbar(
                missing, means, deviations, color=color, label=name.split()[0], marker="o", ms=4, lw=1.5, capsize=2
            )
        ax.axhline(float(rows["*real samples*"][0]), color="black", lw=1, ls=":", label="real samples")
        ax.set(title=title, xlabel="probability that a training cell is missing, %", xticks=[0, 30, 60], ylim=(0, 1.02))
    axes[0].set_ylabel("agreement")
    axes[1].legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "one-latent": one_latent,
    "fusion": fusion,
    "metric-loss": metric_loss,
    "densities": densities,
    "privacy": privacy,
    "defaults": defaults,
    "which": which,
}


def draw(folder: Path) -> None:
    """Write all figures as PNG; an unchanged figure gives an identical file."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        for name, picture in PICTURES.items():
            picture().savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
