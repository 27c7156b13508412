"""Heart beats and their rhythm: train, generate beats and PVCs, translate between the modalities, and measure.

Run: ``python examples/ecg/example.py beats.npz --out runs/ecg``; ``beats.py`` writes ``beats.npz``.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import multimodal_vae as mv
from multimodal_vae.cli import run_command
from multimodal_vae_ecg.paper import draw_on_paper
from recipe import CLASSES, HERE, Beats, generate, metric_tables, read_beats, train, translate

COLUMNS = 10


def main() -> None:
    """Parse the command line and run the example."""
    parser = argparse.ArgumentParser(description="Generate heart beats with their rhythm, and measure them.")
    parser.add_argument("beats", type=Path, help=".npz file written by beats.py")
    parser.add_argument("--out", type=Path, default=Path("runs/ecg"), help="folder for everything")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--count", type=int, default=500, help="beats to generate per class")
    given = parser.parse_args()
    sys.exit(run_command(lambda: example(given.beats, given.out, given.recipe, given.count)))


def example(path: Path, out: Path, recipe: Path, count: int) -> None:
    """Train or open the run, and write figures and tables beside it."""
    training, test = read_beats(path)
    configuration = mv.Configuration.read(recipe)
    data = training.dataset(configuration)
    run = out / "run"
    if not run.exists():
        train(training, configuration, run, show=True)
    opened = mv.open_run(run, data)
    vae, refiners = opened.model, opened.refiners
    new, refined = (generate(vae, data, count, 0, some) for some in ({}, refiners))
    translations = translate(vae, test)
    figures = {
        "ecg-generated": beats_figure(test, new, refined, count),
        "ecg-from-rhythm": translation_figure(test, translations),
        "ecg-to-rhythm": intervals_figure(test, translations),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=110)
    report = "\n".join(str(table) for table in metric_tables(training, test, vae, data, count, refiners))
    (out / "metrics.md").write_text(report, "utf-8")
    sys.stdout.write(report)


def beats_figure(
    test: Beats, new: dict[str, NDArray[np.float32]], refined: dict[str, NDArray[np.float32]], count: int
) -> Figure:
    """Draw real beats of held-out recordings above generated ones, then the same refined, by class.

    None are selected by hand.
    """
    rows = []
    for label, name in enumerate(CLASSES):
        rows.append((f"{name}, real", test.ecg[spread_by_recording(test, label), 0]))
        for title, pairs in (("generated", new), ("generated, refined", refined)):
            rows.append((f"{name}, {title}", pairs["ecg"][label * count : label * count + COLUMNS]))
    return papers(rows)


def translation_figure(test: Beats, translations: dict[str, NDArray[np.float32]]) -> Figure:
    """Draw real beats of held-out recordings above their translations from the rhythm: other beats, then PVCs."""
    half = COLUMNS // 2
    rows = np.concatenate([spread_by_recording(test, label)[::2][:half] for label in range(len(CLASSES))])
    real, translated = test.ecg[rows, 0], translations["ecg"][rows]
    return papers([("real: five other beats, five PVCs", real), ("translated from the rhythm", translated)])


def intervals_figure(test: Beats, translations: dict[str, NDArray[np.float32]]) -> Figure:
    """Plot intervals translated from the beat against the true ones."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    for ax, column, title in zip(figure.subplots(1, 2), (0, 1), ("previous interval", "next interval"), strict=True):
        for label, (name, marker) in enumerate(zip(CLASSES, "o^", strict=True)):
            of_class = test.y == label
            ax.plot(
                test.rhythm[of_class, column],
                translations["rhythm"][of_class, column],
                marker,
                markersize=3,
                alpha=0.4,
                label=name,
            )
        ax.axline((0.8, 0.8), slope=1, color="gray", linewidth=0.8)
        ax.set(title=title, xlabel="true (s)", ylabel="translated from the beat (s)", xlim=(0.2, 2), ylim=(0.2, 2))
        ax.set_aspect("equal")
    ax.legend(frameon=False)
    return figure


def spread_by_recording(beats: Beats, label: int) -> NDArray[np.int64]:
    """Return rows of beats of one class from every recording, so that no recording dominates the figure."""
    rows = [np.flatnonzero((beats.y == label) & (beats.group == group)) for group in np.unique(beats.group)]
    count = -(-COLUMNS // len(rows))
    selected = [some[:: max(1, len(some) // count)][:count] for some in rows]
    return np.concatenate(selected)[:COLUMNS]


def papers(rows: list[tuple[str, NDArray[np.float32]]]) -> Figure:
    """Draw beats on ECG paper of one scale, one row per source."""
    low = min(float(beats.min()) for _, beats in rows)
    high = max(float(beats.max()) for _, beats in rows)
    figure = Figure(figsize=(0.82 * COLUMNS, 2.0 * len(rows)), layout="constrained")
    for axes, (title, beats) in zip(figure.subplots(len(rows), COLUMNS), rows, strict=True):
        for ax, beat in zip(axes, beats, strict=False):
            draw_on_paper(beat[None].astype(np.float64), 128.0, [""], ax, (low, high))
            ax.set_xlabel("")
        axes[0].set_title(" ", fontsize=9)  # reserves space above the row; the title itself would widen the column
        axes[0].text(0, 1.04, title, fontsize=9, transform=axes[0].transAxes).set_in_layout(False)
    return figure


if __name__ == "__main__":
    main()
