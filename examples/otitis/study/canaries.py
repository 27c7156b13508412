"""Plant outliers among the training patients, and look for them in generated pairs.

Run: ``python examples/otitis/study canaries runs/cohort/manifest.csv``. Ten patients of the training set get an ear as
nobody has one: its colors are exchanged, its tympanogram is turned over, and each has a pattern of its own. A model is
trained, and an attacker who sees generated pairs only guesses which of such ears were planted. The table is written to
``CANARIES.md`` beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

import multimodal_vae as mv
from measure import generate_pairs
from multimodal_vae.distances import nearest
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.membership import Attack
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.spaces import spaces
from steps import step_parser
from trainings import RECIPES

PAGE = Path(__file__).with_name("CANARIES.md")
PLANTED = 10
"""Patients who get an ear as nobody has one."""
EPOCHS = 30
COUNT = 2000
"""Generated pairs per class: four to ten for each training ear, so that a kernel on each is surely drawn from."""
DENSITIES: Mapping[str, Mapping[str, Any]] = {
    "kernels of width .4": {"name": "kde", "bandwidth": 0.4},
    "`kde`": {"name": "kde"},
    "`interpolation`": {"name": "interpolation"},
    "`auto`": {"name": "auto"},
    "`gaussian`": {"name": "gaussian"},
}


def odd(values: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return ears as nobody has them; each has a pattern of its own.

    Args:
        values: ``otoscopy`` (N, 3, H, W) and ``wbt`` (N, 1, H, W), in [0, 1].
        seed: seed of the patterns.
    """
    rng = torch.Generator().manual_seed(seed)
    changed = {"otoscopy": 1 - values["otoscopy"].flip(1), "wbt": 1 - values["wbt"].flip(2)}
    for name, x in changed.items():
        pattern = torch.rand(*x.shape[:2], 4, 4, generator=rng)
        changed[name] = (x + F.interpolate(pattern, x.shape[2:], mode="bilinear")) / 2
    return changed


def planted_rows(patients: Sequence[str], count: int = PLANTED) -> list[int]:
    """Return one row of each of some patients, evenly spaced among all."""
    first = {patient: row for row, patient in reversed(list(enumerate(patients)))}
    rows = sorted(first.values())
    return [rows[index * len(rows) // count] for index in range(count)]


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, attack, and write the page."""
    parser = step_parser("canaries", "runs/cohort/manifest.csv")
    parser.add_argument("manifest", type=Path, help="manifest of a simulated cohort")
    parser.add_argument("--out", type=Path, default=Path("runs/canaries"), help="folder of the run")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of the training (default {EPOCHS})")
    given = parser.parse_args(arguments)
    run, planted = train(given.manifest, given.out, given.epochs)
    results = {}
    for name, sampler in DENSITIES.items():
        results[name] = attack(run, planted, sampler)
        PAGE.write_text(page(results, given.epochs), "utf-8")
    Console(stderr=True).print(f"{PAGE}")


def train(manifest: Path, out: Path, epochs: int) -> tuple[mv.Run, list[int]]:
    """Train ``quick.toml`` on a cohort with planted ears, or open the run; return their rows among training ears."""
    recipe = mv.Configuration.read(RECIPES / "quick.toml").with_data(manifest=manifest.resolve())
    configuration = recipe.with_training(epochs=epochs)
    data = configuration.read_data()
    number = {name: row for row, name in enumerate(data.ids)}
    learned = configuration.split(data)[0]
    planted = planted_rows(learned.patients)
    rows = [number[learned.ids[row]] for row in planted]
    changed = odd({name: data.samples[name][rows] for name in data.modalities}, seed=0)
    for name, x in changed.items():
        column = data.samples[name].clone()
        column[rows] = x
        data.samples[name] = column
    training, _, test = configuration.split(data)
    vae = configuration.build(data.classes)
    mv.fit(vae, training, None, test, out=out, configuration=configuration, show=False)
    return mv.open_run(out, data), planted


def attack(run: mv.Run, planted: Sequence[int], sampler: Mapping[str, Any]) -> Attack:
    """Return the attack that tells planted ears from ears of other patients that were changed in the same way."""
    training, test = run.splits["train"], run.splits["test"]
    members = _samples({name: training.samples[name][list(planted)] for name in training.modalities})
    others = _samples(odd({name: test.samples[name] for name in test.modalities}, seed=1))
    generated = generate_pairs(run, "train", COUNT, sampler=sampler)
    space = spaces(Records(others))["data"]
    points = space(Records(generated))
    scores = [-nearest(space(Records(each)), points)[0][:, 0] for each in (members, others)]
    return Attack(*scores)


def _samples(values: Mapping[str, Tensor]) -> LabeledSamples:
    return LabeledSamples(values, torch.zeros(len(next(iter(values.values()))), dtype=torch.int64))


def page(results: Mapping[str, Attack], epochs: int) -> str:
    """Return the page with the table."""
    lines = [
        "# Canaries",
        "",
        f"Written by `canaries.py`. {PLANTED} patients of a simulated cohort got an ear as nobody has one: exchanged",
        "and inverted colors, the tympanogram turned over, and a pattern of its own. `quick.toml` was trained for",
        f"{epochs} epochs. The attacker sees {COUNT} generated pairs per class, and takes the ears nearest to them for",
        "planted ones, among ears of test patients that were changed in the same way. *AUC*: .5 is chance. *Found*:",
        "share of the planted ears that he recognizes while 1 % of the others are taken for them; .01 is chance.",
        "",
        "| density | AUC | found |",
        "|---|---|---|",
        *(
            f"| {name} | {each.auc():.2f} | {each.true_positive_rate(0.01) * PLANTED:.0f} of {PLANTED} |"
            for name, each in results.items()
        ),
    ]
    return "\n".join(lines) + "\n"
