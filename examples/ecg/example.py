"""Heart beats and their rhythm: train, generate normal beats and PVCs, tell one modality from the other, measure.

Run: ``python examples/ecg/example.py beats.npz --out runs/ecg``; ``beats.py`` makes the file.
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
from recipe import CLASSES, HERE, Beats, generated, measured, read_beats, trained, translated

COLUMNS = 10


def main() -> None:
    """Parse the command line and go the whole way."""
    parser = argparse.ArgumentParser(description="Generate heart beats with their rhythm, and measure them.")
    parser.add_argument("beats", type=Path, help=".npz file made by beats.py")
    parser.add_argument("--out", type=Path, default=Path("runs/ecg"), help="folder for everything")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--count", type=int, default=500, help="beats to generate of each class")
    given = parser.parse_args()
    sys.exit(run_command(lambda: example(given.beats, given.out, given.recipe, given.count)))


def example(path: Path, out: Path, recipe: Path, count: int) -> None:
    """Train or open what was trained, and leave figures and tables beside it."""
    train, test = read_beats(path)
    configuration = mv.Configuration.read(recipe)
    data = train.dataset(configuration)
    run = out / "run"
    vae = mv.open_run(run, data).model if run.exists() else trained(train, configuration, run, show=True)
    new, told = generated(vae, data, count, seed=0), translated(vae, test)
    figures = {
        "ecg-generated": beats_figure(test, new, count),
        "ecg-from-rhythm": told_figure(test, told),
        "ecg-to-rhythm": intervals_figure(test, told),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=110)
    report = "\n".join(str(table) for table in measured(train, test, vae, data, count))
    (out / "measures.md").write_text(report, "utf-8")
    sys.stdout.write(report)


def beats_figure(test: Beats, new: dict[str, NDArray[np.float32]], count: int) -> Figure:
    """By class, real beats of held-out recordings above generated ones; none picked by hand."""
    rows = []
    for label, name in enumerate(CLASSES):
        rows.append((f"{name}, real", test.ecg[spread_by_recording(test, label), 0]))
        rows.append((f"{name}, generated", new["ecg"][label * count : label * count + COLUMNS]))
    return papers(rows)


def told_figure(test: Beats, told: dict[str, NDArray[np.float32]]) -> Figure:
    """Real beats of held-out recordings above what their rhythm alone tells of them: other beats, then PVCs."""
    half = COLUMNS // 2
    rows = np.concatenate([spread_by_recording(test, label)[::2][:half] for label in range(len(CLASSES))])
    return papers(
        [("real: five other beats, five PVCs", test.ecg[rows, 0]), ("told from the rhythm", told["ecg"][rows])]
    )


def intervals_figure(test: Beats, told: dict[str, NDArray[np.float32]]) -> Figure:
    """Intervals told from the beat alone, against the true ones."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    for ax, column, title in zip(figure.subplots(1, 2), (0, 1), ("previous interval", "next interval"), strict=True):
        for label, (name, marker) in enumerate(zip(CLASSES, "o^", strict=True)):
            of_class = test.y == label
            ax.plot(
                test.rhythm[of_class, column],
                told["rhythm"][of_class, column],
                marker,
                markersize=3,
                alpha=0.4,
                label=name,
            )
        ax.axline((0.8, 0.8), slope=1, color="gray", linewidth=0.8)
        ax.set(title=title, xlabel="true (s)", ylabel="told from the beat alone (s)", xlim=(0.2, 2), ylim=(0.2, 2))
        ax.set_aspect("equal")
    ax.legend(frameon=False)
    return figure


def spread_by_recording(beats: Beats, label: int) -> NDArray[np.int64]:
    """Rows of beats of one class, some of each recording, so that none fills the picture."""
    rows = [np.flatnonzero((beats.y == label) & (beats.group == group)) for group in np.unique(beats.group)]
    each = -(-COLUMNS // len(rows))
    chosen = [some[:: max(1, len(some) // each)][:each] for some in rows]
    return np.concatenate(chosen)[:COLUMNS]


def papers(rows: list[tuple[str, NDArray[np.float32]]]) -> Figure:
    """Beats on ECG paper of one scale, a row a source."""
    low = min(float(beats.min()) for _, beats in rows)
    high = max(float(beats.max()) for _, beats in rows)
    figure = Figure(figsize=(0.82 * COLUMNS, 2.0 * len(rows)), layout="constrained")
    for axes, (title, beats) in zip(figure.subplots(len(rows), COLUMNS), rows, strict=True):
        for ax, beat in zip(axes, beats, strict=False):
            draw_on_paper(beat[None].astype(np.float64), 128.0, [""], ax, (low, high))
            ax.set_xlabel("")
        axes[0].set_title(" ", fontsize=9)  # room above the row; a title as long as this one would widen the column
        axes[0].text(0, 1.04, title, fontsize=9, transform=axes[0].transAxes).set_in_layout(False)
    return figure


if __name__ == "__main__":
    main()
