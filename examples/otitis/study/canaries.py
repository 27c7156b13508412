"""Plant outliers among the patients of a density, and look for them in generated pairs.

Run: ``python examples/otitis/study canaries RUN --judges runs/judges``. Of held-out patients, ten get an ear as nobody
has one: its colors are exchanged, its tympanogram is turned over, and each has a pattern of its own. Densities of the
run, whose model learned from other people, are fitted to them; and a model is trained on them, with its densities. An
attacker who sees generated pairs guesses which of such ears were there. The tables are written to ``CANARIES.md``
beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

import multimodal_vae as mv
from ears import CLASSES, load_or_draw_ears
from frontier import HELD_OUT_SEED
from measure import HELD_OUT
from multimodal_vae.configuration import Configuration
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.distances import nearest
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.membership import Attack
from steps import step_parser
from trainings import RECIPES

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


RECIPE, STEPS = "quick.toml", 6200
"""Recipe of the model that learns from the planted ears, and its steps: as many as on a whole cohort."""
SPACES = ("pairs", "latents")
"""What the attacker compares: the samples that he sees, or their embeddings, for which he needs the model."""
PLACES = {
    "the density": "The model of `best.toml` learned from other people; only its densities saw the odd ears.",
    "the training": "The model of `{recipe}`, trained for {steps} steps, and its densities both learned from them. So "
    "epsilon\ndoes not cover them; what protects them is measured only.",
}
"""Where ears are planted, and what that means."""


class Planted(NamedTuple):
    """Patients of whom some have an odd ear, and others.

    Attributes:
        private: the patients, odd ears among them.
        public: other patients, as they are.
        members: the odd ears that were planted.
        others: ears of the public patients, made odd in the same way.
    """

    private: mv.MultimodalDataset
    public: mv.MultimodalDataset
    members: Mapping[str, Tensor]
    others: Mapping[str, Tensor]


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
    parser.add_argument("--out", type=Path, default=Path("runs/canaries"), help="folder of the training")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="page to write")
    given = parser.parse_args(arguments)
    run = mv.open_run(given.run)
    planted = plant(load_or_draw_ears(given.judges, HELD_OUT_SEED, HELD_OUT, workers=2).samples, run.model)
    results: dict[str, dict[str, dict[str, Attack]]] = {}
    for place in PLACES:
        model = run.model if place == "the density" else train(planted, Configuration.read(RECIPES / RECIPE), given.out)
        for name, sampler in DENSITIES.items():
            results.setdefault(place, {})[name] = attack(model, planted, sampler)
            given.page.write_text(page(results), "utf-8")
            Console(stderr=True).print(f"{given.page}: planted in {place}, {name}")


def plant(ears: LabeledSamples, model: mv.MultimodalVAE, seed: int = 0) -> Planted:
    """Divide patients into halves, and plant odd ears among those of the first.

    Args:
        ears: ears, with patients.
        model: a model with the ears' modalities and classes.
        seed: seed of the halves and of the odd ears.
    """
    patients = [str(name) for name in ears.groups or []]
    halves = split_by_patient(patients, ears.labels.tolist(), (0.5, 0.5), seed)
    private, others = (ears.take(rows) for rows in halves)
    rows = planted_rows(private.groups or [])
    values = {name: x.clone() for name, x in private.values.items()}
    members = odd({name: x[rows] for name, x in values.items()}, seed)
    for name, x in members.items():
        values[name][rows] = x
    data = [
        mv.MultimodalDataset.from_tensors(
            x, [CLASSES[label] for label in y.labels], model.modalities, model.classes, patients=y.groups
        )
        for x, y in ((values, private), (others.values, others))
    ]
    return Planted(*data, members, odd(others.values, seed + 1))


def train(planted: Planted, recipe: Configuration, folder: Path, steps: int = STEPS) -> mv.MultimodalVAE:
    """Train a recipe's model on the patients with odd ears, or go on with it in its folder."""
    configuration = recipe.with_data(manifest=None, split="passed").with_training(epochs=None, steps=steps)
    model = configuration.build(list(planted.private.classes))
    return mv.fit(model, planted.private, out=folder, configuration=configuration)


def attack(model: mv.MultimodalVAE, planted: Planted, sampler: Mapping[str, Any], seed: int = 0) -> dict[str, Attack]:
    """Return attacks that tell planted ears from ears of other patients that were changed in the same way.

    The density is fitted to the patients with odd ears; the others are the reference of a private density. An ear's
    score is its distance to the nearest generated pair: of the samples, scaled per modality, or of the embeddings.

    Args:
        model: model that learned from the patients with odd ears, or from other people.
        planted: the patients.
        sampler: settings of the sampler.
        seed: seed of the draws.

    Returns:
        One attack by name in :data:`SPACES`.
    """
    synthesizer = mv.Synthesizer(model, sampler).fit(planted.private, planted.public)
    counts = planted.private.labels.bincount(minlength=len(model.classes)).tolist()
    pairs = [synthesizer.sample(name, DRAWS * count, seed) for name, count in zip(model.classes, counts, strict=True)]
    generated = {name: torch.cat([each[name] for each in pairs]) for name in model.modalities}
    found = {}
    for space in SPACES:
        near, members, others = (_points(model, x, space) for x in (generated, planted.members, planted.others))
        found[space] = Attack(*(-nearest(each, near)[0][:, 0] for each in (members, others)))
    return found


def _points(model: mv.MultimodalVAE, values: Mapping[str, Tensor], space: str) -> Tensor:
    if space == "pairs":
        return torch.cat([x.flatten(1) / x[0].numel() ** 0.5 for x in values.values()], 1)
    count = len(next(iter(values.values())))
    return model.embed(mv.MultimodalDataset.from_tensors(values, [None] * count, model.modalities, model.classes))


def page(results: Mapping[str, Mapping[str, Mapping[str, Attack]]]) -> str:
    """Return the page with one table per place where ears were planted."""
    lines = [
        "# Canaries",
        "",
        f"Written by `canaries.py`. Of the patients in one half of a held-out cohort, {PLANTED} got an ear as nobody",
        "has one: exchanged and inverted colors, the tympanogram turned over, and a pattern of its own. The attacker",
        f"sees {DRAWS} generated pairs for each ear of that half. He takes those odd ears for planted that are nearest",
        "to a pair, among ears of the other half that were changed in the same way. He compares the samples themselves",
        "(*pairs*), or embeds both with the model (*latents*). *AUC*: .5 is chance. *Found*: planted ears that he",
        "recognizes while 1 % of the others are taken for them; by chance, 0.",
    ]
    for place, attacks in results.items():
        lines += ["", f"## Planted in {place}", "", PLACES[place].format(steps=STEPS, recipe=RECIPE), ""]
        lines += [
            "| density | " + " | ".join(f"AUC, {name} | found, {name}" for name in SPACES) + " |",
            "|---" * (1 + 2 * len(SPACES)) + "|",
        ]
        for name, found in attacks.items():
            cells = [
                f"{found[space].auc():.2f} | {found[space].true_positive_rate(0.01) * PLANTED:.0f} of {PLANTED}"
                for space in SPACES
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
