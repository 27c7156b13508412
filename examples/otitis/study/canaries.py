"""Plant outliers among the patients of a density, and look for them in generated pairs.

Run: ``python examples/otitis/study canaries RUN --judges runs/judges``. The run's model learned from other people. Its
densities are fitted to held-out patients, ten of whom have an ear as nobody has one: its colors are exchanged, its
tympanogram is turned over, and each has a pattern of its own. An attacker who knows the model and sees generated pairs
guesses which of such ears were there. The table is written to ``CANARIES.md`` beside this file.
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
from ears import CLASSES, load_or_draw_ears
from frontier import HELD_OUT_SEED
from measure import HELD_OUT
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.distances import nearest
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.membership import Attack
from steps import step_parser

PAGE = Path(__file__).with_name("CANARIES.md")
PLANTED = 10
"""Patients who get an ear as nobody has one."""
DRAWS = 5
"""Generated pairs for each fitted ear, so that a kernel on each is surely drawn from."""
DENSITIES: Mapping[str, Mapping[str, Any]] = {
    "`kde`, width .4": {"name": "kde", "bandwidth": 0.4},
    "`kde`": {"name": "kde"},
    "`interpolation`": {"name": "interpolation"},
    "`gmm`, 3 full Gaussians": {"name": "gmm", "components": 3, "covariance": "full", "regularization": 0.05},
    "`auto`": {"name": "auto"},
    "`gaussian`": {"name": "gaussian"},
    "`private_gaussian`, epsilon 3": {"name": "private_gaussian", "epsilon": 3.0},
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
    """Return one row of each of some patients, evenly spaced among all.

    Example:
        >>> planted_rows(["a", "a", "b", "c", "c", "d"], 2)
        [0, 3]
    """
    first = {patient: row for row, patient in reversed(list(enumerate(patients)))}
    rows = sorted(first.values())
    return [rows[index * len(rows) // count] for index in range(count)]


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, attack, and write the page."""
    parser = step_parser("canaries", "runs/reproduce/seed10/best --judges runs/judges")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--judges", type=Path, required=True, help="folder of the judges, where held-out ears are kept")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="page to write")
    given = parser.parse_args(arguments)
    model = mv.open_run(given.run).model
    ears = load_or_draw_ears(given.judges, HELD_OUT_SEED, HELD_OUT, workers=2).samples
    results = {}
    for name, sampler in DENSITIES.items():
        results[name] = attack(model, ears, sampler)
        given.page.write_text(page(results), "utf-8")
        Console(stderr=True).print(f"{given.page}: {name}")


def attack(model: mv.MultimodalVAE, ears: LabeledSamples, sampler: Mapping[str, Any], seed: int = 0) -> Attack:
    """Return the attack that tells planted ears from ears of other patients that were changed in the same way.

    The density is fitted to half of the patients; the others are the reference of a private density. The attacker
    embeds the generated pairs and both kinds of odd ears, and scores an ear by its distance to the nearest pair.

    Args:
        model: model that learned from other people.
        ears: ears, with patients.
        sampler: settings of the sampler.
        seed: seed of the halves, the odd ears and the draws.
    """
    patients = [str(name) for name in ears.groups or []]
    halves = split_by_patient(patients, ears.labels.tolist(), (0.5, 0.5), seed)
    private, others = (ears.take(rows) for rows in halves)
    planted = planted_rows(private.groups or [])
    values = {name: x.clone() for name, x in private.values.items()}
    members = odd({name: x[planted] for name, x in values.items()}, seed)
    for name, x in members.items():
        values[name][planted] = x
    data, public = (_data(model, x, y.labels, y.groups) for x, y in ((values, private), (others.values, others)))
    synthesizer = mv.Synthesizer(model, sampler).fit(data, public)
    counts = {CLASSES[label]: DRAWS * count for label, count in private.counts().items()}
    pairs = [synthesizer.sample(label, count, seed) for label, count in counts.items()]
    generated = _embedded(model, {name: torch.cat([each[name] for each in pairs]) for name in model.modalities})
    both = (_embedded(model, each) for each in (members, odd(others.values, seed + 1)))
    of_members, of_others = (-nearest(each, generated)[0][:, 0] for each in both)
    return Attack(of_members, of_others)


def _data(
    model: mv.MultimodalVAE, values: Mapping[str, Tensor], labels: Tensor, patients: Sequence[str] | None = None
) -> mv.MultimodalDataset:
    names = [CLASSES[label] for label in labels]
    return mv.MultimodalDataset.from_tensors(values, names, model.modalities, model.classes, patients=patients)


def _embedded(model: mv.MultimodalVAE, values: Mapping[str, Tensor]) -> Tensor:
    return model.embed(_data(model, values, torch.zeros(len(values["wbt"]), dtype=torch.int64)))


def page(results: Mapping[str, Attack]) -> str:
    """Return the page with the table."""
    lines = [
        "# Canaries",
        "",
        "Written by `canaries.py`. The model of `best.toml` learned from other people. Its densities were fitted to",
        f"half of the patients of a held-out cohort, and {PLANTED} of these got an ear as nobody has one: exchanged",
        "and inverted colors, the tympanogram turned over, and a pattern of its own. The attacker knows the model,",
        f"sees {DRAWS} generated pairs for each fitted ear, and takes those ears for planted whose embeddings are",
        "nearest to that of a pair, among ears of the other half that were changed in the same way. *AUC*: .5 is",
        "chance. *Found*: planted ears that he recognizes while 1 % of the others are taken for them; by chance, 0.",
        "",
        "| density | AUC | found |",
        "|---|---|---|",
        *(
            f"| {name} | {each.auc():.2f} | {each.true_positive_rate(0.01) * PLANTED:.0f} of {PLANTED} |"
            for name, each in results.items()
        ),
    ]
    return "\n".join(lines) + "\n"
