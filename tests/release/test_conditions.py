"""Which results of an audit refuse a release, and which samples are copies."""

from pathlib import Path

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.errors import RunError
from multimodal_vae.privacy.audit import Audit
from multimodal_vae.privacy.result import PrivacyResult, Verdict
from multimodal_vae.privacy.twins import find_twins
from multimodal_vae.release.conditions import require_private, strongest_attack


def audit(*attacks):
    """An audit with some attacks: name, space, area and interval."""
    results = [
        PrivacyResult(f"membership/{name}", area, "real", interval, 0.5, who="train", space=space)
        for name, space, area, interval in attacks
    ]
    return Audit({}, results, Verdict(False, [], []))


WEAK = ("distance", "data", 0.52, (0.48, 0.59))
IRRELEVANT = [
    ("reconstruction", "model", 0.93, (0.9, 0.95)),
    ("distance", "latent", 0.63, (0.58, 0.68)),
    ("blind", "features", 0.9, (0.85, 0.95)),
    ("control", "data", 0.9, (0.85, 0.95)),
]


def test_attacks_on_the_model_and_those_without_samples_do_not_count():
    found = audit(*IRRELEVANT, WEAK)
    assert strongest_attack(found).space == "data"
    require_private(found, 0.6, Path("privacy.json"))


@pytest.mark.parametrize(
    ("area", "interval", "advice"),
    [
        (0.82, (0.8, 0.84), "0.82 (0.80 to 0.84), whose upper end exceeds 0.6; use another density"),
        (0.55, (0.48, 0.62), "0.55 (0.48 to 0.62), whose upper end exceeds 0.6; give more unseen patients"),
        (0.55, None, "0.55 (0.00 to 1.00), whose upper end exceeds 0.6; give more unseen patients"),
    ],
)
def test_the_strongest_attack_refuses_a_release_with_what_to_do(area, interval, advice):
    with pytest.raises(RunError) as error:
        require_private(audit(WEAK, ("density ratio", "features/a", area, interval)), 0.6, Path("privacy.json"))
    assert "the attack by density ratio in features/a has an area under the curve of " in str(error.value)
    assert advice in str(error.value)


def test_twins_are_found_in_what_tells_patients_apart_and_nowhere_else():
    def data(*rows):
        samples = {"blood": torch.tensor([[float(x)] for x, _ in rows]), "sex": torch.eye(2)[[k for _, k in rows]]}
        parts = {"blood": mv.Vector(size=1), "sex": mv.Categorical(categories=["f", "m"])}
        return mv.MultimodalDataset.from_tensors(
            samples, ["ill"] * len(rows), parts, patients=[f"p{x}" for x, _ in rows]
        )

    known = data((1, 0), (2, 1), (3, 0), (3, 0), (4, 1))
    assert find_twins(data((9, 0), (2, 1), (3, 1)), known) == {"blood": [(1, "p2"), (2, "p3")]}
    assert find_twins(data((9, 0)), known) == {}
