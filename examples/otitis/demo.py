"""Draw a simulated cohort, train on it, generate new pairs as files, and draw the paper's figures.

Run: ``python examples/otitis/demo.py --out runs/demo``. Stages that are done are skipped.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import multimodal_vae as mv
from figures import gallery_figure, latent_figure, mean_difference, means_figure, pairs_figure
from multimodal_vae.cli import run_command
from multimodal_vae.run import train_run

HERE = Path(__file__).parent


def main() -> None:
    """Parse the command line and run the demonstration."""
    parser = argparse.ArgumentParser(
        description="Draw a simulated cohort, train on it, generate new pairs, and draw the paper's figures.",
        epilog="Further options, such as --noe 40 --ome 40 --aom 40, are passed to cohort.py.",
    )
    parser.add_argument("--recipe", type=Path, default=HERE / "quick.toml", help="TOML file of the run")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for everything")
    parser.add_argument("--seed", type=int, default=0, help="seed of the cohort")
    parser.add_argument("--count", type=int, default=500, help="pairs to generate per class")
    given, cohort_options = parser.parse_known_args()
    sys.exit(run_command(lambda: demo(given.recipe, given.out, given.seed, given.count, cohort_options)))


def demo(recipe: Path, out: Path, seed: int, count: int, cohort_options: list[str]) -> None:
    """Draw a cohort, train on it, generate pairs, draw the figures, and print the differences of class means."""
    console = Console(stderr=True)
    configuration = mv.Configuration.read(recipe)

    console.rule("cohort (simulated)")
    cohort = out / "cohort"
    # A separate process, because each of its workers would import everything that this script imports.
    if subprocess.run([sys.executable, HERE / "cohort.py", cohort, "--seed", str(seed), *cohort_options]).returncode:
        raise mv.DataError(f"the cohort {cohort} could not be drawn; the line above says why")
    configuration = configuration.with_data(manifest=(cohort / "manifest.csv").resolve())

    console.rule("training")
    run = train_or_open(out / "run", configuration)
    console.print(f"{sum(p.numel() for p in run.model.parameters()):,} parameters, trained in {run.path}")

    console.rule("new pairs")
    synthesizer = run.synthesizer()
    if not (out / "generated").exists():
        mv.write_samples(
            out / "generated", synthesizer, dict.fromkeys(run.model.classes, count), seed, {"run": str(run.path)}
        )
    console.print(f"{count} pairs per class: {out / 'generated'}")

    console.rule("figures")
    # Read back from disk, so that the figures show what the folder holds.
    generated = mv.MultimodalDataset.from_manifest(
        out / "generated" / "manifest.csv", run.configuration.modalities, run.model.classes
    )
    draw_figures(out / "figures", run, generated)
    console.print(f"figures: {out / 'figures'}")
    Console().print(class_means(run, generated))


def train_or_open(path: Path, configuration: mv.Configuration) -> mv.Run:
    """Train a run, or open a run that was trained with the same configuration."""
    if not path.exists():
        return train_run(configuration, path)
    run = mv.open_run(path)
    if run.status["state"] != "done":
        raise mv.RunError(f"the training in {path} is {run.status['state']}; remove the folder to train anew")
    if run.configuration.to_toml() != configuration.with_data(classes=run.model.classes).to_toml():
        raise mv.RunError(f"{path} was trained with another recipe; remove the folder to train anew")
    return run


def draw_figures(out: Path, run: mv.Run, generated: mv.MultimodalDataset) -> None:
    """Draw the paper's Figures 1, 3, 4 and 5."""
    out.mkdir(exist_ok=True)
    classes = ["AOM", "OME", "NOE"]  # the paper's order
    test, synthetic = run.splits["test"], {label: generated.of_class(label).samples for label in classes}
    real = {label: spread_out(test.of_class(label), 2).samples for label in classes}
    modalities = run.model.modalities
    images = {label: samples["otoscopy"] for label, samples in synthetic.items()}
    figures = {
        "figure1-pairs": pairs_figure(modalities, real, synthetic),
        "figure3-latent": latent_figure(run.model.embed(test), test.labels, test.classes),
        "figure4-images": gallery_figure(modalities["otoscopy"], images),
        "figure5-wbt": means_figure(
            modalities["wbt"],
            {label: run.data.of_class(label).samples["wbt"] for label in classes},
            {label: samples["wbt"] for label, samples in synthetic.items()},
        ),
    }
    for name, figure in figures.items():
        figure.savefig(out / f"{name}.png", dpi=150)


def spread_out(data: mv.MultimodalDataset, count: int) -> mv.MultimodalDataset:
    """Return evenly spaced samples: neighbors in a manifest are often ears of one patient."""
    return data.subset(range(0, len(data), max(1, len(data) // count)))


def class_means(run: mv.Run, generated: mv.MultimodalDataset) -> Table:
    """Compare class-mean WBT of generated and original ears, and of two splits of original ears."""
    table = Table(title="mean absolute difference of class-mean WBT (absorbance, lower is better)")
    for column in ("class", "generated - all original", "train - test"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label in run.model.classes:
        parts = {name: part.of_class(label).samples["wbt"] for name, part in run.splits.items() if len(part)}
        original = torch.cat(list(parts.values()))
        table.add_row(
            label,
            f"{mean_difference(generated.of_class(label).samples['wbt'], original):.4f}",
            f"{mean_difference(parts['train'], parts['test']):.4f}",
        )
    return table


if __name__ == "__main__":
    main()
