"""Losses with learned parameters per class: proxy_anchor and center."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ProxyAnchorLoss

import multimodal_vae as mv


def batch(seed, count=12, classes=3):
    rng = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, 4, generator=rng, dtype=torch.float64)
    return latents, torch.randint(classes, (count,), generator=rng)


def build(loss, classes, dimensions=4):
    torch.manual_seed(0)
    loss.build(dimensions, classes)
    return loss.double()


@given(seed=st.integers(0, 2**31), margin=st.sampled_from([0.0, 0.1, 0.5]), scale=st.sampled_from([1.0, 32.0]))
def test_proxy_anchor_and_its_gradients_are_those_of_pytorch_metric_learning(seed, margin, scale):
    latents, labels = batch(seed)
    ours, theirs = build(mv.ProxyAnchor(margin, scale), 5), ProxyAnchorLoss(5, 4, margin, scale).double()
    theirs.load_state_dict(ours.state_dict())
    results = []
    for loss in (ours, theirs):
        inputs = latents.clone().requires_grad_()
        value = loss(inputs, labels)
        value.backward()
        results.append((value.detach(), inputs.grad, loss.proxies.grad))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_proxy_anchor_is_the_papers_equation_4():
    latents, labels = batch(1)
    loss = build(mv.ProxyAnchor(0.1, 32.0), 4)  # the last class has no sample
    with torch.no_grad():
        s = torch.cosine_similarity(latents[:, None], loss.proxies, dim=2).tolist()
    near, far = 0.0, 0.0
    for p in range(4):
        own = [x for x, label in enumerate(labels.tolist()) if label == p]
        others = [x for x in range(len(labels)) if x not in own]
        near += math.log(1 + sum(math.exp(-32 * (s[x][p] - 0.1)) for x in own))
        far += math.log(1 + sum(math.exp(32 * (s[x][p] + 0.1)) for x in others))
    assert float(loss(latents, labels).detach()) == pytest.approx(near / 3 + far / 4, rel=1e-12)


def test_proxies_begin_as_the_authors_do():
    # He et al.'s normal distribution, fan out: the variance is two over the number of classes.
    loss = build(mv.ProxyAnchor(), classes=50, dimensions=400)
    assert float(loss.proxies.detach().var()) == pytest.approx(2 / 50, rel=0.05)  # five standard errors of 20,000 draws


@given(seed=st.integers(0, 2**31))
def test_center_is_half_the_mean_squared_distance_and_pulls_toward_the_mean(seed):
    latents, labels = batch(seed)
    loss = build(mv.Center(), 4)
    squares = [0.5 * (z - loss.centers[y]).square().sum() for z, y in zip(latents, labels, strict=True)]
    value = loss(latents, labels)
    torch.testing.assert_close(value, sum(squares) / len(labels), rtol=1e-12, atol=0)
    value.backward()
    for label in range(4):
        own = latents[labels == label]
        expected = (loss.centers[label].detach() - own).sum(0) / len(labels)
        torch.testing.assert_close(loss.centers.grad[label], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [mv.ProxyAnchor(), mv.Center()], ids=repr)
def test_what_is_learned_has_a_row_a_class_of_the_length_that_is_shaped(loss, make_data, make_model):
    vae = make_model(make_data(), metric_loss=loss, objective={"metric_dimensions": 2})
    (name,) = [name for name in vae.state_dict() if name.startswith("metric_loss.")]
    assert vae.state_dict()[name].shape == (2, 2)
    assert any(parameter is vae.get_parameter(name) for parameter in vae.parameters())
