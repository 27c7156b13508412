"""Try the package on a GPU: laws, equality with the CPU, times of a training step, generation, the paper's training.

Usage: python benchmarks/gpu.py --out runs/gpu [--device cuda] [--only STAGE ...] [--epochs 5000] [--tiny]

Each stage writes its table to OUT/STAGE.json. A stopped script resumes when it is rerun: a finished stage is skipped,
and the training resumes from its checkpoint. The training needs the cohort of examples/otitis:

    python examples/otitis/cohort.py runs/cohort

On an H200, the stages before the training are meant to take three minutes, and the training ten: 78,000 steps of
7.5 ms. ``--epochs`` shortens it. On a Mac, ``--device mps --only laws`` tries the laws. ``--tiny`` tries the script
itself, on any machine, with sizes that say nothing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gpu_stages
from gpu_paper import evaluation, training
from report import section, table
from timing import print_machine

from multimodal_vae.files import write_json

Row = Sequence[object]


@dataclass(frozen=True)
class Stage:
    """A part of the script.

    Attributes:
        name: its name, and that of its file.
        title: title of its table.
        prose: what the table says.
        head: heads of its columns.
        rows: returns the rows of the table, given the arguments of the script.
    """

    name: str
    title: str
    prose: str
    head: tuple[str, ...]
    rows: Callable[[argparse.Namespace], Iterator[Row]]


STAGES = (
    Stage(
        "laws",
        "Laws",
        "Laws of `multimodal_vae.testing` with the device as torch's default, and closed forms on it, in float32.",
        ("part", "passed", "failed"),
        gpu_stages.laws_of_parts,
    ),
    Stage(
        "equal",
        "Equality with the CPU",
        "Same weights, batches and noise in float32, without TF32. A difference is the norm of the difference of a "
        "tensor, over that of the CPU's; the table has the largest. Over 20 steps of Adam, rounding errors grow.",
        ("quantity", "largest relative difference"),
        gpu_stages.differences,
    ),
    Stage(
        "steps",
        "A training step",
        "A batch of 60 pairs of the paper's model, staged on the device: augmentation, corruption, forward pass, "
        "backward pass, Adam. *Plain* is eager torch (`plain.py`). *Waits* are synchronizations in a step whose "
        "metrics are not read, counted by `torch.cuda.set_sync_debug_mode`.",
        ("width", "implementation", "time per step", "waits", "peak memory"),
        gpu_stages.steps,
    ),
    Stage(
        "generation",
        "Generation",
        "Pairs decoded by the paper's model and copied to the CPU; densities of 400 latents of 128 dimensions.",
        ("task", "time"),
        gpu_stages.generation,
    ),
    Stage(
        "paper",
        "The paper's training",
        "`examples/otitis/paper.toml`, stopped by SIGTERM after a third of the epochs, and resumed to the end.",
        ("part", "epochs", "steps", "time", "time per step"),
        training,
    ),
    Stage(
        "evaluation",
        "Evaluation of the paper's run",
        "All metrics of `mmvae evaluate`, on the CPU.",
        ("metric", "value", "real samples", "Gaussian baseline"),
        evaluation,
    ),
)


def main() -> None:
    """Run the stages that have no file yet, and print the tables of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=[stage.name for stage in STAGES], metavar="STAGE")
    parser.add_argument("--epochs", type=int, default=5000, help="epochs of the training")
    parser.add_argument("--manifest", type=Path, help="manifest of the cohort; default: that of the recipe")
    parser.add_argument("--tiny", action="store_true", help="dry run with tiny sizes")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print_machine()
    for stage in STAGES:
        path = given.out / f"{stage.name}.json"
        if path.exists() or (given.only and stage.name not in given.only):
            continue
        print(f"{stage.name} ...", file=sys.stderr, flush=True)
        rows = [[str(cell) for cell in row] for row in stage.rows(given)]
        write_json(path, {"device": given.device, "tiny": given.tiny, "rows": rows})
    section("On a GPU", "Written by `benchmarks/gpu.py`.")
    for stage in STAGES:
        path = given.out / f"{stage.name}.json"
        if path.exists():
            found = json.loads(path.read_text("utf-8"))
            dry = " A dry run with tiny sizes." if found["tiny"] else ""
            print(f"### {stage.title}\n\n{stage.prose} Device: {found['device']}.{dry}\n")
            table(stage.head, found["rows"])


if __name__ == "__main__":
    main()
