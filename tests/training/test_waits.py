"""A training step does not make the CPU wait for the accelerator, unless its metrics are read."""

import pytest
import torch

import multimodal_vae as mv
from accelerator import DEVICE, Accelerator, queue_copies
from multimodal_vae.nn import random_erasing, random_flip, random_rotation
from multimodal_vae.training import loop, refining
from multimodal_vae.training.averaging import weight_average
from multimodal_vae.training.batch_metrics import BatchMetrics
from multimodal_vae.training.optimizer import adam

N = 24


class Turned(mv.Image):
    """Pictures that are augmented and corrupted by random numbers of the CPU."""

    def augment(self, x):
        return random_rotation(random_flip(x, 0.5), 0.7, 20.0)

    def corrupt(self, x):
        return random_erasing(x, 0.5)


PARTS = {
    "blood": {"name": "vector", "size": 3, "hidden": 8},
    "photo": {"name": "image", "size": [16, 16], "channels": 1, "width": 4, "loss": {"ssim": 1.0, "detail": 1.0}},
    "grid": {"name": "image", "size": [16, 16], "channels": 1, "width": 4, "network": "residual", "loss": "normal"},
    "turned": Turned(size=(16, 16), channels=1, width=4),
    "scan": {"name": "volume", "size": [8, 8, 8], "width": 4, "flip": 0.5, "rotate": 0.5, "erase": 0.5},
    "trace": {"name": "signal", "channels": 1, "length": 32, "width": 4},
    "side": {"name": "categorical", "categories": ["left", "right"], "hidden": 4},
    "reads": {"name": "counts", "size": 3, "hidden": 8},
}  # fmt: skip
FUSIONS = [
    "concat",
    {"name": "concat", "dropout": 0.3},
    {"name": "poe", "random_subsets": 2},
    {"name": "moe", "kl": "sampled"},
    {"name": "mopoe", "draws": 2, "kl": "sampled"},
    "mvtcae",
    {"name": "jmvae", "prior": True},
    {"name": "mmvaeplus", "private": 1, "kl": "sampled"},
]


def made(names, missing=False, covariates=False):
    """Samples of some modalities, every fourth of them unlabeled."""
    rng = torch.Generator().manual_seed(0)
    samples = {
        "blood": torch.randn(N, 3, generator=rng),
        **{name: torch.rand(N, 1, 16, 16, generator=rng) for name in ("photo", "grid", "turned")},
        "scan": torch.rand(N, 1, 8, 8, 8, generator=rng),
        "trace": torch.randn(N, 1, 32, generator=rng),
        "side": torch.eye(2)[torch.arange(N) % 2],
        "reads": torch.randint(9, (N, 3), generator=rng).float(),
    }
    present = torch.rand(N, len(names), generator=rng) < 0.7
    present[:, 0] |= ~present.any(1)
    labels = [(0, 1, 2, None)[row % 4] for row in range(N)]
    known = {"site": ["a", "b"] * (N // 2), "age": [str(row) for row in range(N)]} if covariates else None
    return mv.MultimodalDataset.from_tensors(
        {name: samples[name] for name in names}, labels, {name: PARTS[name] for name in names},
        present=present if missing else None, covariates=known,
    )  # fmt: skip


def waits(data, monkeypatch, model=None, **settings):
    """Return for what the CPU waits in the second of two steps on the accelerator; their losses are the CPU's."""
    losses = []
    for device in (torch.device("cpu"), DEVICE):
        torch.manual_seed(0)
        vae = mv.MultimodalVAE(
            data.modalities, data.classes, latent_dim=8, seed=0, covariates=data.covariate_types, **settings
        )
        vae.calibrate(data)
        trained = (model(vae) if model else vae).train()
        batch = data.batch(torch.arange(N))
        with Accelerator() as accelerator, monkeypatch.context() as patched:
            queue_copies(patched)
            trained.to(device)
            optimizer = adam(trained, 1e-3)
            metrics = BatchMetrics(torch.optim.SGD(trained.parameters()), device, every=10)
            average = weight_average(trained, 0.9)
            for step in range(2):
                torch.manual_seed(step)
                accelerator.waits.clear()
                assert not loop.train_step(trained, [batch.to(device)], optimizer, clip=1.0, metrics=metrics)
                average.update_parameters(trained)
            found = dict(accelerator.waits)
            read = metrics.read()
            assert len(read) == 2
        losses.append(read)
    for first, second in zip(*losses, strict=True):
        assert first == pytest.approx(second, rel=1e-4, abs=1e-5)
    return found


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
def test_no_fusion_waits(fusion, missing, monkeypatch):
    if missing and fusion == "concat":
        pytest.skip("it needs every modality")
    assert not waits(made(["blood", "photo"], missing), monkeypatch, fusion=fusion)


def test_a_concatenation_gives_nan_where_it_would_have_to_look():
    fusion = mv.Concat()
    fusion.build({"a": 2, "b": 3}, 4)
    with Accelerator():
        features = {"a": torch.zeros(2, 2, device=DEVICE), "b": torch.zeros(2, 3, device=DEVICE)}
        present = torch.tensor([[True, True], [True, False]]).to(DEVICE, non_blocking=True)
        mean = fusion.to(DEVICE)(features, present).mean
        assert mean.isnan().any(1).cpu().tolist() == [False, True]


@pytest.mark.parametrize("loss", ["triplet", "supcon", "proxy_anchor", "center"])
def test_no_metric_loss_waits(loss, monkeypatch):
    assert not waits(made(["blood"]), monkeypatch, metric_loss=loss)


def test_covariates_make_nobody_wait(monkeypatch):
    assert not waits(made(["blood", "photo"], missing=True, covariates=True), monkeypatch, fusion="moe")


@pytest.mark.parametrize("name", PARTS)
def test_no_modality_waits(name, monkeypatch):
    assert not waits(made([name]), monkeypatch)


def test_a_refiner_waits_for_the_check_of_the_frozen_encoders_alone(monkeypatch):
    def refiner(vae):
        return refining.Refining(vae, "photo", refining.build_refiner(vae, "photo", "rectified_flow", seed=0))

    assert waits(made(["blood", "photo"]), monkeypatch, refiner) == {"aten._local_scalar_dense": 2}


def test_the_accelerator_notices_who_waits():
    with Accelerator() as accelerator:
        x = torch.arange(4.0).to(DEVICE, non_blocking=True)
        assert not accelerator.waits
        assert bool((x > 2).any())
        assert x[x > 1].cpu().tolist() == [2, 3]
        x[torch.tensor([0])]
        assert sum(accelerator.waits.values()) == 4
        with pytest.raises(RuntimeError, match="both devices"):
            x + torch.arange(4)
