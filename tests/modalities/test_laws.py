"""Properties of every modality of the core."""

import math

import matplotlib as mpl
import numpy as np
import pytest
import torch

import multimodal_vae as mv

mpl.use("Agg")

MODALITIES = {
    "color": {"name": "image", "size": [16, 16], "channels": 3, "width": 8},
    "gray": {"name": "image", "size": [16, 16], "channels": 1, "width": 8, "loss": {"ssim": 1.0, "l1": 0.5}},
    "wide": {"name": "image", "size": [8, 32], "channels": 1, "width": 4, "loss": {"mse": 1.0}},
    "odd": {"name": "image", "size": [13, 11], "channels": 3, "width": 4},
    "compact": {"name": "image", "size": [16, 16], "channels": 3, "width": 8, "network": "compact"},
    "odd compact": {"name": "image", "size": [20, 13], "channels": 1, "width": 4, "network": "compact"},
    "detailed": {
        "name": "image",
        "size": [16, 16],
        "width": 8,
        "network": "compact",
        "loss": {"detail": 1.0, "l1": 1.0},
    },
    "signal": {"name": "signal", "length": 32, "width": 8},
    "odd signal": {"name": "signal", "length": 19, "channels": 3, "width": 8},
    "vector": {"name": "vector", "size": 5, "hidden": 16},
    "one number": {"name": "vector", "size": 1, "hidden": 16, "cell": "path"},
    "table": {
        "name": "table",
        "columns": {
            "age": "count",
            "sex": {"type": "binary", "words": ["f", "m"]},
            "crp": "positive",
            "sat": "share",
            "site": {"type": "categorical", "words": ["A", "B", "C"]},
        },
        "hidden": 16,
    },
    "counts": {"name": "counts", "size": 4, "hidden": 16},
    "inflated counts": {"name": "counts", "size": 4, "hidden": 16, "distribution": "zero_inflated"},
    "presences": {"name": "counts", "size": 4, "hidden": 16, "distribution": "presence", "cell": "path"},
    "categorical": {"name": "categorical", "categories": ["left", "right", "both"], "hidden": 16},
}
LATENT = 6


@pytest.fixture(params=MODALITIES)
def modality(request):
    torch.manual_seed(0)
    return mv.Modality.of(MODALITIES[request.param])


@pytest.fixture
def networks(modality):
    return modality.encoder(), modality.decoder(LATENT)


def draw(modality, count, seed=0):
    """Return valid samples: uniform over the range, or on an arbitrary scale without one."""
    rng = torch.Generator().manual_seed(seed)
    if isinstance(modality, mv.Table):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return modality.examples(count)
    if isinstance(modality, mv.Categorical):
        return torch.eye(modality.shape[0])[torch.randint(modality.shape[0], (count,), generator=rng)]
    if isinstance(modality, mv.Counts):
        chance = torch.rand(count, modality.size, generator=rng)
        return (chance < 0.5).float() if modality.distribution == "presence" else (40 * chance).round()
    if modality.range:
        return torch.rand(count, *modality.shape, generator=rng)
    return 40 + 7 * torch.randn(count, *modality.shape, generator=rng)


def test_a_decoder_learns_one_target(modality, networks):
    decoder = networks[1]
    target, latents = draw(modality, 1).repeat(4, *[1] * len(modality.shape)), torch.randn(4, LATENT)
    modality.calibrate(networks[0], decoder, draw(modality, 20))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    decoder.train()
    first = None
    for _ in range(200):
        optimizer.zero_grad()
        decoded = decoder(latents)
        loss = modality.reconstruction_loss(decoded, target).mean()
        loss.backward()
        optimizer.step()
        first = first or loss.item()
    assert loss.item() < first
    # Batch statistics are those of these latents, so only the number of steps limits the fit.
    before = (modality.observe(modality.decoder(LATENT)(latents)) - target).abs().mean()
    assert (modality.observe(decoded) - target).abs().mean() < 0.5 * before


def test_reading_gives_back_what_was_written(modality, tmp_path):
    sample = draw(modality, 1)[0]
    if modality.cell == "value":
        again = torch.as_tensor(modality.read(modality.format(sample)))
        assert "," not in modality.format(sample) or modality.format(sample).isprintable()
    else:
        path = tmp_path / f"sample{modality.suffix}"
        modality.write(sample, path)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        again = torch.as_tensor(modality.read(path))
    modality.check(again[None])
    assert again.dtype == torch.float32
    # A PNG has 8 bits, so values are off by up to half of 1 / 255; other formats keep float32's 7 digits.
    tolerance = 0.5 / 255 + 1e-6 if modality.suffix == ".png" else 0
    torch.testing.assert_close(again, sample, rtol=1e-6, atol=tolerance)


def test_check_takes_good_samples_and_none_at_all(modality):
    modality.check(draw(modality, 3))
    modality.check(draw(modality, 0))


def test_check_refuses_another_shape(modality):
    wrong = torch.zeros(2, *modality.shape, 2)
    with pytest.raises(mv.DataError) as caught:
        modality.check(wrong)
    assert str(tuple(wrong.shape[1:])) in str(caught.value)
    assert str(modality.shape) in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_check_refuses_what_is_not_finite_and_says_where(modality, value):
    samples = draw(modality, 2)
    samples[(1, *(0 for _ in modality.shape))] = value
    if modality.gaps and math.isnan(value):
        modality.check(samples)
        return
    with pytest.raises(mv.DataError, match="a value that is not finite") as caught:
        modality.check(samples)
    assert str(tuple(0 for _ in modality.shape)) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (-0.1, "1"),
        (1.1, "largest possible value"),
        (6.0, "largest possible value"),
        (97.0, "divide by 100 if in percent"),
        (255.0, "divide by 255"),
    ],
)
def test_check_refuses_what_is_out_of_range(modality, value, advice):
    if modality.range is None:
        pytest.skip("takes any finite value")
    samples = draw(modality, 2)
    samples[(0, *(0 for _ in modality.shape))] = value
    with pytest.raises(mv.DataError, match=f"{value:g}.*expects 0 to 1") as caught:
        modality.check(samples)
    assert advice in str(caught.value)
    assert ("divide" in str(caught.value)) == (value > 1)


def test_calibration_uses_only_what_it_is_given_and_draws_nothing(modality, networks):
    encoder, decoder = networks
    state = torch.random.get_rng_state()
    samples = draw(modality, 20)
    before = samples.clone()
    modality.calibrate(encoder, decoder, samples)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(samples, before)
    statistics = {name: value.clone() for name, value in decoder.named_buffers()}
    weights = {name: value.clone() for name, value in decoder.named_parameters()}
    modality.calibrate(encoder, decoder, 1000 * samples + 5 if modality.range is None else samples)
    modality.calibrate(encoder, decoder, samples)
    for name, value in decoder.named_buffers():
        assert torch.equal(value, statistics[name]), name
    for name, value in decoder.named_parameters():
        assert torch.equal(value, weights[name]), name


def test_a_model_of_it_alone_trains_and_generates(modality):
    samples = torch.cat([draw(modality, 6, seed) for seed in (1, 2)])
    data = mv.MultimodalDataset.from_tensors({"x": samples}, [0] * 6 + [1] * 6, {"x": modality})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=LATENT, seed=0)
    mv.fit(vae, data, epochs=1, per_class=3, device="cpu", show=False)
    modality.check(mv.Synthesizer(vae, "kde").fit(data).sample("1", 3, seed=0)["x"])
    modality.check(vae.reconstruct(data)["x"])


def test_numpy_arrays_of_any_float_are_taken(modality):
    samples = draw(modality, 4).double().numpy()
    data = mv.MultimodalDataset.from_tensors({"x": samples}, [0, 1, 0, 1], {"x": modality})
    assert data.samples["x"].dtype == torch.float32
    np.testing.assert_allclose(data.samples["x"].numpy(), samples, rtol=1e-6)
