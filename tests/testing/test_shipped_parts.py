"""Every part of the core keeps every law."""

import subprocess
import sys

import pytest

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.testing import parametrize_with_checks

PARTS = [
    mv.Image(size=(16, 16), channels=3, width=8),
    mv.Image(size=(16, 16), channels=1, width=8, loss={"ssim": 1.0, "l1": 0.5}),
    mv.Image(size=(8, 32), channels=1, width=4, loss={"mse": 1.0}),
    mv.Image(size=(13, 11), channels=3, width=4),
    mv.Image(size=(16, 16), channels=3, width=8, network="compact"),
    mv.Image(size=(20, 13), channels=1, width=4, network="compact", loss={"detail": 1.0, "l1": 1.0}),
    mv.Image(size=(8, 8), channels=1, width=4, network="compact", loss="normal"),
    mv.Image(size=(24, 32), channels=1, width=4, network_size=(12, 8), loss={"ssim": 1.0, "l1": 0.5}),
    mv.Image(size=(16, 16), channels=1, width=4, network_size=(8, 8), loss="normal"),
    mv.Volume(size=(8, 8, 8), channels=3, width=4, flip=0.5, rotate=1.0, erase=0.5),
    mv.Volume(size=(4, 7, 6), channels=1, width=4, network="residual", loss="normal", network_size=(2, 7, 3)),
    mv.Signal(length=32, width=4, hidden=16),
    mv.Signal(length=19, channels=3, width=4, hidden=16),
    mv.Signal(length=1500, channels=3, width=4, hidden=8),
    mv.Vector(size=5, hidden=16),
    mv.Vector(size=1, hidden=16, cell="path"),
    mv.Table(
        {
            "age": "count",
            "sex": {"type": "binary", "words": ["f", "m"]},
            "crp": {"type": "positive", "unit": "mg/l"},
            "fev": {"type": "real", "decimals": 2},
            "sat": "share",
            "grade": {"type": "ordinal", "words": ["low", "mid", "high"]},
            "site": {"type": "categorical", "words": ["A", "B", "C"]},
        },
        hidden=16,
    ),
    mv.Table({"sex": {"type": "binary", "words": ["f", "m"]}}, hidden=16),
    mv.Counts(size=5, hidden=16),
    mv.Counts(size=1, distribution="zero_inflated", hidden=16, cell="path"),
    mv.Counts(size=5, distribution="poisson", hidden=16),
    mv.Counts(size=5, distribution="presence", hidden=16),
    mv.Categorical(categories=["left", "right", "both"], hidden=16),
    mv.Concat(),
    mv.Concat(dropout=0.3),
    mv.PoE(),
    mv.PoE(random_subsets=2),
    mv.MoE(),
    mv.MoE(kl="sampled"),
    mv.MoPoE(),
    mv.MoPoE(draws=2, prior=True),
    mv.MoPoE(kl="sampled"),
    mv.MVTCAE(),
    mv.JMVAE(),
    mv.MMVAEPlus(),
    mv.MMVAEPlus(private=2, kl="sampled"),
    mv.Triplet(),
    mv.Triplet(distance="squared"),
    mv.Triplet(margin=0.5, distance="cosine"),
    mv.Triplet(mining="hard"),
    mv.Triplet(mining="all", distance="squared"),
    mv.SupCon(),
    mv.SupCon(temperature=1.0),
    mv.ProxyAnchor(),
    mv.Center(),
    mv.PyTorchMetricLearning("ProxyAnchorLoss"),
    mv.PyTorchMetricLearning(
        {"name": "TripletMarginLoss", "distance": {"name": "LpDistance", "normalize_embeddings": False}},
        {"name": "TripletMarginMiner", "type_of_triplets": "semihard"},
    ),
    mv.Auto(),
    mv.Auto(candidates=["prior", "gaussian"], folds=2),
    mv.KDE(),
    mv.KDE(bandwidth=0.5),
    mv.KDE(bandwidths=[0.1, 1.0], folds=3),
    mv.KDE(kernel="variance_preserving", selection="leave_one_out"),
    mv.ShrunkGaussian(),
    mv.ShrunkGaussian(shrinkage=0.3),
    mv.GMM(),
    mv.GMM(components=2, covariance="full"),
    mv.GMM(components=[1, 2], covariance=["tied", "spherical"]),
    mv.GMM(components=[1, 3], covariance="full", method="variational", selection="held_out", folds=3),
    mv.Flow(transforms=1, hidden=[8], epochs=5, patience=2),
    mv.Flow(transform="affine", transforms=2, hidden=[8], epochs=5, patience=2),
    mv.Prior(),
    mv.PrivateGaussian(3.0),
    mv.PrivateGaussian(1.0, delta=1e-3, clip=0.5, dimensions=2, seed=0),
    mv.Interpolation(neighbors=2),
    mv.Interpolation(neighbors=1, width=0.5),
    mv.RectifiedFlow(width=8, integration_steps=2),
    mv.JSONLines(),
    mv.Console(),
    mv.TensorBoard(),
]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    if isinstance(part, mv.Flow):  # an extra
        pytest.importorskip("zuko")
    check(part)


def test_every_part_of_the_core_is_among_them():
    tried = {(part.kind, part.name) for part in PARTS}
    assert tried == {(e.kind, e.name) for e in registry.entries() if e.distribution == registry.CORE}


def test_a_class_is_tried_with_its_defaults_and_each_case_has_a_name_of_its_own():
    mark = parametrize_with_checks([mv.Triplet, mv.Triplet(margin=1.0)])
    names = [case.id for case in mark.args[1]]
    assert len(set(names)) == len(names)
    assert names[0] == "Triplet-one_scalar_with_a_gradient"
    assert names[-1].startswith("Triplet-2-")
    assert isinstance(mark.args[1][0].values[0], mv.Triplet)


def test_a_class_that_needs_settings_says_which():
    with pytest.raises(mv.ConfigurationError, match="needs the setting 'length'"):
        parametrize_with_checks([mv.Signal])


def test_the_order_of_laws_does_not_depend_on_imports():
    code = (
        "import multimodal_vae.testing.common\nfrom multimodal_vae.testing import laws\nprint(laws('logger')[0].name)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "logs_any_metrics\n"
    )
