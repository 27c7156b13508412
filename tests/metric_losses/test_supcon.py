import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss

import multimodal_vae as mv


def batch(seed, count=12, classes=3):
    rng = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, 4, generator=rng, dtype=torch.float64)
    return latents, torch.randint(classes, (count,), generator=rng)


def value_and_gradient(loss, latents, labels):
    latents = latents.clone().requires_grad_()
    value = loss(latents, labels)
    value.backward()
    return value.detach(), latents.grad


@given(seed=st.integers(0, 2**31), temperature=st.sampled_from([0.05, 0.1, 1.0]), classes=st.integers(2, 8))
def test_loss_and_gradient_are_those_of_pytorch_metric_learning(seed, temperature, classes):
    latents, labels = batch(seed, classes=classes)
    ours = value_and_gradient(mv.SupCon(temperature), latents, labels)
    theirs = value_and_gradient(SupConLoss(temperature), latents, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_loss_is_the_papers_equation_2_over_the_number_of_anchors():
    latents, labels = batch(0)
    unit = latents / latents.norm(dim=1, keepdim=True)
    terms = []
    for i in range(len(labels)):
        others = [a for a in range(len(labels)) if a != i]
        total = sum((unit[i] @ unit[a] / 0.1).exp() for a in others)
        positive = [p for p in others if labels[p] == labels[i]]
        terms.append(-sum(((unit[i] @ unit[p] / 0.1).exp() / total).log() for p in positive) / len(positive))
    assert float(mv.SupCon()(latents, labels)) == pytest.approx(float(sum(terms) / len(terms)), rel=1e-12)


def test_lengths_of_latents_do_not_matter():
    latents, labels = batch(0)
    longer = latents * torch.arange(1, len(labels) + 1)[:, None]
    torch.testing.assert_close(mv.SupCon()(longer, labels), mv.SupCon()(latents, labels))


def test_a_small_temperature_stays_finite_in_float32():
    latents, labels = batch(0)
    value, gradient = value_and_gradient(mv.SupCon(1e-4), latents.float(), labels)
    assert value.isfinite()
    assert gradient.isfinite().all()
