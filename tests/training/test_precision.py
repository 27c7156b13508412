"""What is cheaper in training changes nothing but the last digits, and no author's part notices."""

import tomllib

import pytest
import torch
from torch import nn

import multimodal_vae as mv
from multimodal_vae.training import precision as precisions
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import cpu_has_matrix_units, resolve_precision, train_precision

QUICK = {"epochs": 2, "per_class": 4, "device": "cpu", "show": False}


@pytest.mark.parametrize(
    ("asked", "device", "capability", "amx", "chosen"),
    [
        ("auto", "auto", None, False, "float32"),
        ("auto", "auto", None, True, "bfloat16"),
        ("auto", "cpu", (9, 0), False, "float32"),
        ("auto", "cpu", (9, 0), True, "bfloat16"),
        ("auto", "auto", (8, 0), False, "bfloat16"),
        ("auto", "cuda:1", (9, 0), False, "bfloat16"),
        ("auto", "cuda", (7, 5), True, "float32"),
        ("auto", "mps", None, True, "float32"),
        ("float32", "cuda", (9, 0), True, "float32"),
        ("bfloat16", "cpu", None, False, "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_the_device_has_units_for_it(asked, device, capability, amx, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(precisions, "cpu_has_matrix_units", cpu_has_matrix_units)  # as before conftest.py replaced it
    assert resolve_precision(asked, device) == chosen


def test_a_torch_that_cannot_tell_has_no_matrix_units(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert not cpu_has_matrix_units()


@pytest.mark.parametrize(("settings", "kept"), [({}, "float32"), ({"precision": "bfloat16"}, "bfloat16")])
def test_a_run_keeps_and_the_console_says_which_was_chosen(settings, kept, make_data, make_model, tmp_path, capfd):
    data = make_data()
    mv.fit(make_model(data), data, out=tmp_path / "run", **(QUICK | settings | {"show": True}))
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text("utf-8"))["training"]["precision"] == kept
    assert all(f"batches/s in {kept} | " in line for line in capfd.readouterr().err.splitlines())


def test_an_unknown_precision_is_named(make_data, make_model):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match="precision"):
        mv.fit(make_model(data), data, precision="float16", **QUICK)


class Watched(mv.Vector):
    """A modality that notes what its networks, in training and in use, and its loss see."""

    seen: dict = {}  # noqa: RUF012

    def encoder(self):
        network = super().encoder()
        network[-1].register_forward_hook(self.noting("encoded"))
        return network

    def decoder(self, latent_dim):
        layer = nn.Linear(latent_dim, self.size)
        layer.register_forward_hook(self.noting("decoded"))
        return layer

    def noting(self, what):
        def note(layer, _, y):
            self.seen.setdefault(what if layer.training else f"{what} in use", set()).add(y.dtype)

        return note

    def likelihood(self, decoded):
        return None

    def reconstruction_loss(self, decoded, target):
        self.seen.update(loss=decoded.dtype, target=target.dtype, autocast=torch.is_autocast_enabled("cpu"))
        return (decoded - target).square().mean(1)

    def observe(self, decoded):
        self.seen.update(observed=decoded.dtype)
        return decoded


class Watching(mv.Concat):
    """A fusion that notes the same."""

    def forward(self, features, present):
        Watched.seen.update(features=features["x"].dtype, fusion=torch.is_autocast_enabled("cpu"))
        return super().forward(features, present)


def test_networks_alone_are_reduced_and_in_training_alone():
    data = mv.MultimodalDataset.from_tensors({"x": torch.randn(8, 3)}, [0, 1] * 4, {"x": Watched(size=3, hidden=4)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, Watching(), latent_dim=2, seed=0)
    Watched.seen.clear()
    mv.fit(vae, data, **(QUICK | {"precision": "bfloat16"}))
    assert Watched.seen == {
        "encoded": {torch.bfloat16},
        "decoded": {torch.bfloat16},
        "encoded in use": {torch.float32},  # to measure the noise after the training
        "decoded in use": {torch.float32},  # to calibrate the temperature before it
        "features": torch.float32,
        "fusion": False,
        "loss": torch.float32,
        "target": torch.float32,
        "autocast": False,
    }
    assert all(p.dtype == torch.float32 for p in vae.parameters())
    in_use = {"encoded in use": {torch.float32}, "decoded in use": {torch.float32}, "observed": torch.float32}
    for precision in ("float32", "bfloat16"):  # as when a training validates
        Watched.seen.clear()
        with train_precision(vae, precision):
            vae.reconstruct(data)
        assert Watched.seen | in_use == Watched.seen
        assert not {"encoded", "decoded"} & {*Watched.seen}


def test_generation_within_autocast_gives_float32(make_data, make_model):
    vae = make_model(make_data())
    z = torch.randn(5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = vae.generate(z)
    for name, x in vae.generate(z).items():
        assert reduced[name].dtype == torch.float32
        assert not torch.equal(reduced[name], x)
        torch.testing.assert_close(reduced[name], x, rtol=0.05, atol=0.05)


def test_the_precision_of_a_model_is_given_back_even_after_an_error(make_data, make_model):
    vae = make_model(make_data())
    with pytest.raises(ZeroDivisionError), train_precision(vae, "bfloat16"):
        _ = 1 / (vae.precision != "bfloat16")
    assert vae.precision == "float32"


IMAGES = {"photo": mv.Image(size=(16, 16), width=8), "map": mv.Image(size=(16, 16), channels=1, width=8)}


@pytest.fixture
def pictures():
    rng = torch.Generator().manual_seed(0)
    bright = torch.arange(24).remainder(2)[:, None, None, None]
    samples = {
        name: (0.6 * bright + 0.4 * torch.rand(24, *part.shape, generator=rng)).clamp(0, 1)
        for name, part in IMAGES.items()
    }
    return mv.MultimodalDataset.from_tensors(samples, [0, 1] * 12, IMAGES)


def losses(pictures, precision, optimizer, steps=12):
    vae = mv.MultimodalVAE(pictures.modalities, pictures.classes, latent_dim=4, seed=0).train()
    step = optimizer(vae)
    torch.manual_seed(0)
    batch = pictures.batch(torch.arange(24))
    with train_precision(vae, precision):
        return torch.tensor([train_step(vae, [batch], step)[0]["loss"] for _ in range(steps)])


def test_bfloat16_learns_what_float32_learns(pictures):
    exact, reduced = (losses(pictures, p, lambda v: adam(v, 1e-3)) for p in ("float32", "bfloat16"))
    assert exact[-1] < 0.95 * exact[0]
    # bfloat16 keeps 8 bits: 0.4 % a number.
    torch.testing.assert_close(reduced, exact, rtol=0.02, atol=0)


def test_one_pass_of_adam_is_adam(pictures):
    ours = losses(pictures, "float32", lambda v: adam(v, 1e-3))
    plain = losses(pictures, "float32", lambda v: torch.optim.Adam(v.parameters(), lr=1e-3))
    # Adam divides by the root of a mean square, which makes much of the rounding of a gradient near zero.
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=0)


def test_one_pass_is_taken_where_weights_have_the_usual_layout(make_data, make_model, pictures):
    vae = make_model(pictures)
    assert adam(vae, 1e-3).defaults["fused"]
    vae.encoders[0].to(memory_format=torch.channels_last)
    assert not adam(vae, 1e-3).defaults["fused"]
