"""Draw the pictures of the gallery that no example draws: run the simulation and the recipe of a page, with more steps.

Run: ``python docs/tools/gallery.py docs/images/gallery``; a few minutes.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

import multimodal_vae as mv
from multimodal_vae.run import train_run

DOCS = Path(__file__).parents[1]
BLUE, GREEN = "#3b6fb6", "#3a8f5c"


def train(page: str, folder: Path, steps: int) -> mv.Run:
    """Write the files of a page into a folder, run its scripts, and train its recipe."""
    files = re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```$', (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for name, text in files:
        (folder / name).write_text(re.sub(r"^steps = .*$", f"steps = {steps}", text, flags=re.MULTILINE), "utf-8")
        if name.endswith(".py"):
            subprocess.run([sys.executable, name], cwd=folder, check=True)
    (recipe,) = (name for name, _ in files if name.endswith(".toml"))
    return train_run(mv.Configuration.read(folder / recipe), folder / "run", show=False)


def scan_and_eeg(folder: Path) -> Figure:
    """Draw two generated pairs of scan and EEG per class."""
    run = train("how-to/scan-and-eeg.md", folder, steps=250)
    synthesizer, figure = run.synthesizer(), Figure(figsize=(8, 4), layout="constrained")
    for row, label in zip(figure.subplots(2, 4, width_ratios=[1, 2, 1, 2]), ("well", "ill"), strict=True):
        new = synthesizer.sample(label, 2, seed=0)
        for number in range(2):
            scan, eeg = row[2 * number : 2 * number + 2]
            scan.imshow(new["scan"][number, 0, 6].T, cmap="gray", origin="lower")
            scan.set(title=label if number == 0 else "", xticks=[], yticks=[])
            eeg.plot(new["eeg"][number].T + 60 * new["eeg"].new_tensor([0, 1, 2]), lw=0.6, color=BLUE)
            eeg.set(xticks=[], yticks=[], ylim=(-60, 180))
    return figure


def tables(folder: Path) -> Figure:
    """Draw patients and generated rows: two columns of the joined file, by class."""
    run = train("how-to/tables.md", folder, steps=250)
    figure = Figure(figsize=(8, 3), layout="constrained")
    columns = list(run.model.modalities["blood"].columns)
    x, y = (columns.index(name) for name in ("b_crp", "b_hemoglobin"))
    for ax, label in zip(figure.subplots(1, 2, sharex=True, sharey=True), run.model.classes, strict=True):
        known, new = run.data.of_class(label).samples["blood"], run.synthesizer().sample(label, 80, seed=0)["blood"]
        for rows, color, name in ((known, BLUE, "patients"), (new, GREEN, "generated")):
            ax.plot(rows[:, x], rows[:, y], ".", color=color, label=name, ms=5, alpha=0.7)
        ax.set(title=label, xlabel="CRP, mg/l", xscale="log", ylim=(8, 17))
    figure.axes[0].set_ylabel("hemoglobin, g/dl")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


PICTURES: dict[str, Callable[[Path], Figure]] = {"scan-and-eeg": scan_and_eeg, "tables": tables}

if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        for picture, draw in PICTURES.items():
            with tempfile.TemporaryDirectory() as work:
                draw(Path(work)).savefig(out / f"{picture}.png", dpi=110, metadata={"Software": None})
