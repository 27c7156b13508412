import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

import multimodal_vae as mv

LATENT, CLASSES = 4, 3
PLAIN = {"name": "LpDistance", "normalize_embeddings": False}


def plain():
    return distances.LpDistance(normalize_embeddings=False)


CASES = {
    "name": ("NCALoss", None, losses.NCALoss, lambda: None),
    "options": ({"name": "NTXentLoss", "temperature": 0.5}, None, lambda: losses.NTXentLoss(0.5), lambda: None),
    "objects": (
        {
            "name": "ContrastiveLoss",
            "distance": PLAIN,
            "reducer": {"name": "ThresholdReducer", "low": 0.1},
            "embedding_regularizer": "LpRegularizer",
        },
        None,
        lambda: losses.ContrastiveLoss(
            distance=plain(),
            reducer=reducers.ThresholdReducer(low=0.1),
            embedding_regularizer=regularizers.LpRegularizer(),
        ),
        lambda: None,
    ),
    "miner": (
        {"name": "TripletMarginLoss", "margin": 0.3, "distance": PLAIN},
        {"name": "TripletMarginMiner", "margin": 0.3, "type_of_triplets": "semihard", "distance": PLAIN},
        lambda: losses.TripletMarginLoss(0.3, distance=plain()),
        lambda: miners.TripletMarginMiner(0.3, "semihard", distance=plain()),
    ),
    "pairs": ("MultiSimilarityLoss", "MultiSimilarityMiner", losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
    "proxies": ("ProxyAnchorLoss", None, lambda: losses.ProxyAnchorLoss(CLASSES, LATENT), lambda: None),
    "hidden sizes": ("SubCenterArcFaceLoss", None, lambda: losses.SubCenterArcFaceLoss(
        num_classes=CLASSES, embedding_size=LATENT), lambda: None),
    "other names of sizes": ("P2SGradLoss", None, lambda: losses.P2SGradLoss(LATENT, CLASSES), lambda: None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@given(seed=st.integers(0, 2**31))
def test_it_is_the_loss_and_miner_that_are_named(case, seed):
    loss, miner, theirs, their_miner = CASES[case]
    torch.manual_seed(seed)
    latents, labels = torch.randn(15, LATENT, dtype=torch.float64), torch.arange(15) % CLASSES
    ours = mv.PyTorchMetricLearning(loss, miner)
    ours.build(LATENT, CLASSES)
    reference, reference_miner = theirs(), their_miner()
    reference.load_state_dict({key.removeprefix("_loss."): value for key, value in ours.state_dict().items()})
    ours.double(), reference.double()
    expected = reference(latents, labels, reference_miner(latents, labels) if reference_miner else None)
    torch.testing.assert_close(ours(latents, labels), expected, rtol=1e-12, atol=0)


REFUSED = {
    "loss unknown": (lambda: mv.PyTorchMetricLearning("NCALos"), ["losses has no 'NCALos'", "did you mean 'NCALoss'"]),
    "miner unknown": (lambda: mv.PyTorchMetricLearning("NCALoss", "Digger"), ["miners has no 'Digger'"]),
    "a base": (lambda: mv.PyTorchMetricLearning("BaseMetricLossFunction"), ["has no 'BaseMetricLossFunction'"]),
    "a module": (lambda: mv.PyTorchMetricLearning("nca_loss"), ["has no 'nca_loss'"]),
    "of elsewhere": (lambda: mv.PyTorchMetricLearning("os.system"), ["has no 'os.system'"]),
    "nameless": (lambda: mv.PyTorchMetricLearning({"margin": 1}), ["give a name, or a table with a name", "margin"]),
    "no text": (lambda: mv.PyTorchMetricLearning(3), ["'loss'", "string"]),
    "miner's option": (
        lambda: mv.PyTorchMetricLearning("NCALoss", {"name": "TripletMarginMiner", "depth": 3}),
        ["miners.TripletMarginMiner does not accept these options", "depth"],
    ),
    "loss's option": (
        lambda: mv.PyTorchMetricLearning({"name": "NCALoss", "depth": 3}).build(2, 2),
        ["losses.NCALoss does not accept these options", "depth"],
    ),
    "distance unknown": (
        lambda: mv.PyTorchMetricLearning({"name": "NCALoss", "distance": "Taxi"}).build(2, 2),
        ["distances has no 'Taxi'"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there_is_said(case):
    make, words = REFUSED[case]
    with pytest.raises(mv.ConfigurationError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "pytorch_metric_learning"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(mv.ConfigurationError, match=r"pip install 'multimodal-vae\[metric-learning\]'"):
        mv.MetricLoss.of({"name": "pytorch_metric_learning", "loss": "NCALoss"})


def test_a_reducer_that_gives_no_number_is_refused():
    loss = mv.PyTorchMetricLearning({"name": "NCALoss", "reducer": "DoNothingReducer"})
    loss.build(LATENT, CLASSES)
    with pytest.raises(mv.ConfigurationError, match="NCALoss with this reducer returns no scalar"):
        loss(torch.randn(6, LATENT), torch.arange(6) % CLASSES)


def test_draws_repeat_under_torchs_seed_and_leave_numpy_alone():
    # Resuming restores torch's generator only.
    loss = mv.PyTorchMetricLearning({"name": "TripletMarginLoss", "margin": 5.0, "triplets_per_anchor": 3})
    loss.build(LATENT, CLASSES)
    latents, labels = torch.randn(12, LATENT), torch.arange(12) % CLASSES
    before, values = str(np.random.get_state()), {}  # noqa: NPY002  (the test watches the global one)
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        values.setdefault(seed, []).append(float(loss(latents, labels)))
    assert values[0][0] == values[0][1] != values[1][0]
    assert str(np.random.get_state()) == before  # noqa: NPY002
