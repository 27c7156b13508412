import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from pytorch_metric_learning.reducers import MeanReducer

import multimodal_vae as mv
from multimodal_vae.metric_losses import triplet

DISTANCES = ("euclidean", "squared", "cosine")
MINING = {"semi-hard": "semihard", "hard": "hard", "all": "all"}
"""pytorch-metric-learning's names by ours."""

each_distance = pytest.mark.parametrize("distance", DISTANCES)
each_mining = pytest.mark.parametrize("mining", MINING)


def value_and_gradient(loss, latents, labels):
    latents = latents.detach().clone().requires_grad_()
    value = loss(latents, labels)
    value.backward()
    return value.detach(), latents.grad


def oracle(margin, distance, mining="semi-hard"):
    """Return the loss of pytorch-metric-learning without its default normalization."""
    measure = {
        "euclidean": LpDistance(normalize_embeddings=False),
        "squared": LpDistance(normalize_embeddings=False, power=2),
        "cosine": CosineSimilarity(),
    }[distance]
    miner = TripletMarginMiner(margin, distance=measure, type_of_triplets=MINING[mining])
    loss = TripletMarginLoss(margin, distance=measure, reducer=MeanReducer())
    return lambda latents, labels: loss(latents, labels, miner(latents, labels))


def by_hand(margin, latents, labels, mining="semi-hard"):
    terms = []
    for a, p, n in itertools.permutations(range(len(labels)), 3):
        if labels[a] == labels[p] != labels[n]:
            positive, negative = (latents[a] - latents[p]).norm(), (latents[a] - latents[n]).norm()
            least, most = {
                "semi-hard": (positive, positive + margin),
                "hard": (-1, positive),
                "all": (-1, positive + margin),
            }[mining]
            if least < negative < most:
                terms.append(positive - negative + margin)
    return sum(terms) / max(1, len(terms)), len(terms)


def batch(seed, count=18, classes=3, dimensions=4):
    rng = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, dimensions, generator=rng, dtype=torch.float64)
    return latents, torch.randint(classes, (count,), generator=rng)


@each_distance
@each_mining
@given(seed=st.integers(0, 2**31), margin=st.sampled_from([0.05, 0.2, 1.0]), classes=st.integers(2, 5))
def test_loss_and_gradient_are_those_of_pytorch_metric_learning(distance, mining, seed, margin, classes):
    latents, labels = batch(seed, classes=classes)
    ours = value_and_gradient(mv.Triplet(margin, distance, mining), latents, labels)
    theirs = value_and_gradient(oracle(margin, distance, mining), latents, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@each_mining
@given(seed=st.integers(0, 2**31))
def test_loss_is_the_mean_over_the_mined_triplets(mining, seed):
    latents, labels = batch(seed, count=9)
    expected, _ = by_hand(0.5, latents, labels, mining)
    assert float(mv.Triplet(0.5, mining=mining)(latents, labels)) == pytest.approx(float(expected), abs=1e-12)


@each_mining
def test_the_batches_above_do_hold_such_triplets(mining):
    assert by_hand(0.2, *batch(0), mining)[1] > 10


def test_hard_and_semi_hard_triplets_are_all():
    latents, labels = batch(3)
    counts = {mining: by_hand(0.2, latents, labels, mining)[1] for mining in MINING}
    assert counts["all"] == counts["hard"] + counts["semi-hard"]
    means = {mining: float(mv.Triplet(0.2, mining=mining)(latents, labels)) for mining in MINING}
    parts = sum(counts[mining] * means[mining] for mining in ("hard", "semi-hard"))
    assert counts["all"] * means["all"] == pytest.approx(parts, rel=1e-12)


def test_a_negative_as_far_as_the_positive_is_hard():
    latents, labels = torch.tensor([[0.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1])
    # Of anchor 0 both are 1 away; anchor 1 has its negative 2 away, which is easy.
    value, gradient = value_and_gradient(mv.Triplet(0.5, mining="hard"), latents, labels)
    assert value == 0.5
    torch.testing.assert_close(gradient, torch.tensor([[-2.0], [1.0], [1.0]]))


@each_distance
@given(seed=st.integers(0, 2**31))
def test_the_order_of_the_batch_and_the_names_of_the_classes_do_not_matter(distance, seed):
    latents, labels = batch(seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    value, gradient = value_and_gradient(mv.Triplet(distance=distance), latents, labels)
    again, moved = value_and_gradient(mv.Triplet(distance=distance), latents[order], 7 - labels[order])
    torch.testing.assert_close(value, again)
    torch.testing.assert_close(gradient[order], moved)


@each_distance
@each_mining
def test_anchors_in_parts_give_the_same(distance, mining, monkeypatch):
    latents, labels = batch(1, count=30)
    loss = mv.Triplet(distance=distance, mining=mining)
    whole = value_and_gradient(loss, latents, labels)
    for chunk in (1, 2 * 30, 7 * 30):
        monkeypatch.setattr(triplet, "_CHUNK", chunk)
        torch.testing.assert_close(value_and_gradient(loss, latents, labels), whole)


FAR = torch.tensor([[0.0], [0.1], [50.0], [50.1]])
NOTHING = {
    "far apart": (FAR, torch.tensor([0, 0, 1, 1])),
    "one class": (torch.randn(6, 2), torch.zeros(6, dtype=torch.int64)),
    "every sample a class": (torch.randn(6, 2), torch.arange(6)),
    "all equal": (torch.ones(6, 2), torch.tensor([0, 0, 1, 1, 2, 2])),
    "all zero": (torch.zeros(6, 2), torch.tensor([0, 0, 1, 1, 2, 2])),
    "one sample": (torch.randn(1, 2), torch.tensor([0])),
    "no sample": (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)),
    "hard only": (torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([0, 0, 1])),
}


@each_distance
@pytest.mark.parametrize("name", NOTHING)
def test_without_a_semi_hard_triplet_loss_and_gradient_are_zero(distance, name):
    if name in ("far apart", "hard only") and distance == "cosine":
        pytest.skip("points on a line have no angles")
    latents, labels = NOTHING[name]
    value, gradient = value_and_gradient(mv.Triplet(0.2, distance), latents, labels)
    assert value.shape == ()
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(latents))


def test_a_class_with_one_member_is_a_negative_and_no_anchor():
    # Anchor 0 and positive 1 are 1 apart; the lone 2 is 1.1 from anchor 0, and 0.1 from anchor 1, which is hard.
    latents, labels = torch.tensor([[0.0], [1.0], [1.1]]), torch.tensor([0, 0, 1])
    value, gradient = value_and_gradient(mv.Triplet(0.2), latents, labels)
    assert value == pytest.approx(0.1)
    torch.testing.assert_close(gradient, torch.tensor([[0.0], [1.0], [-1.0]]))


def test_coinciding_latents_have_a_finite_gradient():
    latents = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.1, 0.0], [0.1, 0.0]])
    value, gradient = value_and_gradient(mv.Triplet(0.2), latents, torch.tensor([0, 0, 1, 1]))
    assert value == pytest.approx(0.1)
    assert gradient.isfinite().all()


def test_near_neighbors_are_not_lost_to_rounding_in_large_batches():
    # From 26 rows on cdist would take the matrix-product form, and miss 1e-3 at a distance of 100 from the origin.
    latents = torch.cat([torch.full((15, 8), 100.0), torch.full((15, 8), 100.001)])
    distances = triplet.pairwise_distances(latents, "euclidean")
    exact = (latents.double()[:, None] - latents.double()).norm(dim=2)
    torch.testing.assert_close(distances.double(), exact, rtol=1e-5, atol=0)


def test_cosine_distance_is_one_minus_the_cosine():
    latents, _ = batch(0)
    expected = 1 - F.cosine_similarity(latents[:, None], latents, dim=2)
    torch.testing.assert_close(triplet.pairwise_distances(latents, "cosine"), expected)


@each_distance
def test_following_the_gradient_draws_classes_apart(distance):
    torch.manual_seed(0)
    latents = torch.randn(30, 2).requires_grad_()
    labels = torch.arange(30) % 3
    optimizer = torch.optim.Adam([latents], lr=0.05)
    loss = mv.Triplet(0.5, distance)

    def separation():
        d = triplet.pairwise_distances(latents.detach(), distance)
        same = labels[:, None] == labels
        return float(d[~same].mean() / d[same].mean())

    before = separation()
    for _ in range(100):
        optimizer.zero_grad()
        loss(latents, labels).backward()
        optimizer.step()
    assert separation() > before
