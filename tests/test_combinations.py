"""Combinations of fusion, metric loss and sampler: train, save, open, sample.

The parts come from the registry, including plugins. Every pair of parts occurs in some combination of the default
tests; the marker ``combinations`` runs all others.
"""

import itertools

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import registry

KINDS = {"fusion": mv.Fusion, "metric_loss": mv.MetricLoss, "sampler": mv.DensitySampler}
NEEDED = {
    ("metric_loss", "pytorch_metric_learning"): {"loss": "ProxyAnchorLoss"},
    ("sampler", "flow"): {"epochs": 5},
    ("sampler", "private_gaussian"): {"epsilon": 3.0},
}
"""Settings without a default, and those that make a part fast."""

LATENT = 40  # enough for fusions with private dimensions per modality


def find_parts(kind):
    """Return the parts of a kind that can be made here, and the errors of the others."""
    tables, missing = [], {}
    for entry in registry.entries(kind):
        table = {"name": entry.name, **NEEDED.get((kind, entry.name), {})}
        try:
            KINDS[kind].of(table)
        except mv.MultimodalVAEError as error:
            missing[kind, entry.name] = str(error)
        else:
            tables.append(table)
    return tables, missing


PARTS = {kind: find_parts(kind) for kind in KINDS}
ALL = list(itertools.product(*(tables for tables, _ in PARTS.values())))


def pairs(combination):
    """Return all pairs of parts of a combination."""
    named = [(kind, part["name"]) for kind, part in zip(KINDS, combination, strict=True)]
    return set(itertools.combinations(named, 2))


def covering(combinations):
    """Return few combinations that contain every pair: greedily, the one with the most new pairs."""
    chosen, missing = [], set().union(*map(pairs, combinations))
    while missing:
        chosen.append(max(combinations, key=lambda each: len(pairs(each) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


PAIRWISE = covering(ALL)


def named(combination):
    return "-".join(part["name"] for part in combination)


def check(combination, data, out):
    """Train for a few steps, open the run, and compare samples of both models."""
    fusion, metric_loss, sampler = combination
    vae = mv.MultimodalVAE(data.modalities, data.classes, fusion, metric_loss, latent_dim=LATENT, seed=0)
    before = {name: weights.clone() for name, weights in vae.named_parameters()}
    mv.fit(vae, data, out=out, epochs=2, per_class=6, device="cpu", loggers=["jsonl"], show=False)
    moved = {name for name, weights in vae.named_parameters() if not torch.equal(weights, before[name])}
    assert {name.split(".")[0] for name in moved} == {name.split(".")[0] for name in before}
    run = mv.open_run(out, data)
    assert run.model.configuration == vae.configuration
    assert run.model.state_dict().keys() == vae.state_dict().keys()
    assert all(torch.equal(weights, vae.state_dict()[name]) for name, weights in run.model.state_dict().items())
    fitted = mv.Synthesizer(run.model, sampler).fit(data)
    fitted.save(out / "density.safetensors")
    again = mv.Synthesizer.load(out / "density.safetensors", mv.open_run(out, data).model)
    for label in data.classes:
        first, second = fitted.sample(label, 3, seed=0), again.sample(label, 3, seed=0)
        for name, modality in data.modalities.items():
            assert torch.equal(first[name], second[name])
            assert first[name].shape == (3, *modality.shape)
            modality.check(first[name])


@pytest.mark.parametrize("combination", PAIRWISE, ids=named)
def test_any_two_parts_work_together(combination, make_data, tmp_path):
    check(combination, make_data(), tmp_path)


@pytest.mark.combinations
@pytest.mark.parametrize("combination", [each for each in ALL if each not in PAIRWISE], ids=named)
def test_any_three_parts_work_together(combination, make_data, tmp_path):
    check(combination, make_data(), tmp_path)


def test_every_two_parts_meet():
    for first, second in itertools.combinations(KINDS, 2):
        for one, other in itertools.product(PARTS[first][0], PARTS[second][0]):
            pair = ((first, one["name"]), (second, other["name"]))
            assert any(pair in pairs(combination) for combination in PAIRWISE), pair


def test_a_part_is_left_out_only_where_a_library_is_missing():
    for part, reason in itertools.chain.from_iterable(missing.items() for _, missing in PARTS.values()):
        assert "pip install" in reason, part


def test_a_covering_of_three_kinds_of_three_takes_few_of_the_27():
    parts = [[{"name": f"{kind}{number}"} for number in range(3)] for kind in KINDS]
    chosen = covering(list(itertools.product(*parts)))
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, itertools.product(*parts)))
    assert 9 <= len(chosen) <= 12
