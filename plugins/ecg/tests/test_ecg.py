"""The class, beside the laws: its settings, its loss, what training does to samples, and its pictures."""

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import multimodal_vae as mv
from multimodal_vae import ConfigurationError, DataError, Modality
from multimodal_vae_ecg import ECG
from multimodal_vae_ecg.augmentation import scaled, shifted, wandering, without_leads
from multimodal_vae_ecg.loss import CENTER, beat_loss, slope_energy

LATENT = 5
SPECS = {
    "default": {"width": 8},
    "beat": {"rate": 128, "seconds": 1, "width": 8},
    "three named": {"leads": ["I", "II", "V2"], "rate": 90, "seconds": 1.3, "width": 8},
    "plain error": {"leads": 2, "rate": 64, "seconds": 2, "width": 4, "qrs": 0, "slope": 0, "highpass": 0},
    "shortest": {"rate": 8, "seconds": 1, "width": 4},
}


@pytest.fixture(params=SPECS)
def ecg(request):
    torch.manual_seed(0)
    return Modality.of({"name": "ecg", **SPECS[request.param]})


def test_is_found_by_its_name(ecg):
    assert type(ecg) is ECG
    assert ecg.name == "ecg"


def test_configuration_is_complete_and_comes_back(ecg):
    again = ECG.of(ecg.configuration)
    assert again.configuration == ECG.of(ecg).configuration == ecg.configuration
    assert again.shape == ecg.shape
    assert set(ECG().configuration) == {
        *("name", "leads", "rate", "seconds", "highpass", "width", "qrs", "slope", "gain", "shift", "wander", "loosen"),
        "loss",
    }


@pytest.mark.parametrize("flat", [0.0, 0.7])
def test_a_flat_target_has_a_finite_loss_and_gradient(flat):
    decoded = torch.randn(2, 2, 1, 100).abs().add(0.1).requires_grad_()
    loss = ECG(rate=100, seconds=1).reconstruction_loss(decoded, torch.full((2, 1, 100), flat))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert decoded.grad.isfinite().all()


def test_standardizes_by_lead():
    ecg = ECG(leads=2, rate=64, seconds=1, width=4)
    encoder, decoder = ecg.encoder(), ecg.decoder(LATENT)
    samples = torch.randn(50, 2, 64) * torch.tensor([[0.1], [2.0]]) + torch.tensor([[5.0], [0.0]])
    ecg.calibrate(encoder, decoder, samples)
    torch.testing.assert_close(encoder[0](samples).mean((0, 2)), torch.zeros(2), atol=1e-4, rtol=0)
    deviation = decoder(torch.randn(3, LATENT))[:, 1]
    torch.testing.assert_close(deviation[0, :, 0], samples.std((0, 2), correction=0))


def test_plain_error_is_the_mean_squared_error_in_deviations():
    ecg = ECG(leads=2, rate=50, seconds=1, qrs=0, slope=0)
    value, deviation, target = torch.randn(3, 2, 50), torch.rand(3, 2, 50) + 0.5, torch.randn(3, 2, 50)
    expected = ((value - target) / deviation).square().mean((1, 2))
    torch.testing.assert_close(ecg.reconstruction_loss(torch.stack([value, deviation], 1), target), expected)


def test_slope_energy_is_a_moving_mean_of_the_squared_central_difference():
    rate, x = 128.0, np.random.default_rng(0).normal(size=200)
    difference = np.convolve(np.pad(x, 1, mode="edge"), [1, 0, -1], "valid") ** 2
    expected = np.convolve(difference, np.ones(21), "same")  # 150 ms are 19.2 samples, and an odd window is centered
    ours = slope_energy(torch.tensor(x)[None, None], rate)[0, 0].numpy()
    np.testing.assert_allclose(ours, expected / expected.max(), rtol=1e-9)


def test_an_error_in_the_qrs_complex_counts_more_than_elsewhere():
    target = ECG(rate=128, seconds=1).examples(1)
    losses = []
    for place in (51, 100):  # R is at 0.4 s
        error = torch.zeros_like(target)
        error[..., place] = 1
        losses.append(beat_loss(error, target, 128.0, qrs=4.0, slope=0.0).item())
    assert 3 < losses[0] / losses[1] < 5.001


def test_the_slopes_error_is_that_of_the_amplitude_at_its_center():
    time = torch.arange(10_000) / 1000
    error = torch.sin(2 * torch.pi * CENTER * time)[None, None]
    plain = beat_loss(error, error, 1000.0, qrs=0, slope=0)
    torch.testing.assert_close(
        beat_loss(error, error, 1000.0, qrs=0, slope=1) / plain, torch.tensor([2.0]), rtol=2e-3, atol=0
    )


@pytest.mark.parametrize("change", ["augment", "corrupt"])
def test_changes_keep_shape_type_and_input_and_repeat_under_a_seed(ecg, change):
    change = getattr(ecg, change)
    samples = ecg.examples(16)
    kept, results = samples.clone(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(change(samples))
    assert torch.equal(samples, kept)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].shape == samples.shape
    assert results[0].dtype == torch.float32
    ecg.check(results[0])
    assert change(samples[:0]).shape == (0, *ecg.shape)


def test_samples_of_a_batch_are_changed_each_on_its_own():
    ecg = ECG(rate=128, seconds=1)
    samples = ecg.examples(1).repeat(8, 1, 1)
    for change in (ecg.augment, ecg.corrupt):
        assert len(change(samples).unique(dim=0)) == 8


def test_what_is_switched_off_changes_nothing():
    ecg = ECG(gain=0, shift=0, wander=0, loosen=0)
    samples = ecg.examples(2)
    assert ecg.augment(samples) is samples
    assert ecg.corrupt(samples) is samples


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.integers(1, 4))
def test_gain_is_one_positive_factor_for_all_leads(seed, gain, leads):
    torch.manual_seed(seed)
    x = torch.randn(5, leads, 20, dtype=torch.float64)
    factors = scaled(x, gain) / x
    assert (factors > 0).all()
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors))
    assert (factors <= 1 + gain + 1e-6).all()
    assert (factors >= 1 / (1 + gain) - 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_shift_moves_all_leads_alike_and_repeats_the_last_value(seed, most):
    torch.manual_seed(seed)
    x = torch.arange(10.0).repeat(20, 2, 1) + torch.tensor([[0.0], [100.0]])
    moved = shifted(x, most)
    assert torch.equal(moved[:, 0] + 100, moved[:, 1])
    for row in moved[:, 0]:
        candidates = [(torch.arange(10.0) - k).clamp(0, 9) for k in range(-most, most + 1)]
        assert any(torch.equal(row, each) for each in candidates)


def test_wander_is_slow_and_no_larger_than_asked():
    torch.manual_seed(0)
    added = wandering(torch.zeros(100, 2, 1000), 100.0, 0.3)
    assert 0.25 < added.abs().max() <= 0.3
    spectrum = torch.fft.rfft(added * torch.hann_window(1000)).abs().square().mean((0, 1))
    assert spectrum[10:].sum() < 1e-3 * spectrum.sum()  # 1 Hz and more


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.999])
def test_loose_leads_are_flat_and_never_all(probability):
    torch.manual_seed(0)
    x = torch.randn(4000, 3, 4).abs() + 1
    loosened = without_leads(x, probability)
    flat = (loosened == 0).all(-1)
    assert ((loosened == x).all(-1) | flat).all()
    assert not flat.all(1).any()
    # A lead is flat unless it is the last one left: p less p^3 / 3 of each lead.
    assert abs(flat.float().mean() - (probability - probability**3 / 3)) < 0.02
    assert torch.equal(without_leads(x[:, :1], probability), x[:, :1])


def test_examples_have_a_complex_where_a_beat_has_one():
    torch.manual_seed(0)
    x = ECG(rate=128, seconds=1).examples(50)[:, 0]
    complexes = x[:, 32:70]  # a quick heart may begin its next one within the second
    assert (((complexes.argmax(1) + 32) / 128 - 0.4).abs() < 0.02).all()
    assert (x.abs() < 5).all()


def test_examples_have_as_many_beats_as_a_heart():
    from scipy.signal import find_peaks

    torch.manual_seed(0)
    for x in ECG(rate=100, seconds=30).examples(10)[:, 0].numpy():
        peaks, _ = find_peaks(x, height=0.6 * x.max(), distance=20)
        assert 22 <= len(peaks) <= 58  # 50 to 110 a minute, with some variation


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e6])
def test_plot_warns_of_nothing_and_leaves_no_figure(ecg, scale, tmp_path):
    import matplotlib.pyplot as plt

    figure = Figure(layout="constrained")
    ax = figure.add_subplot()
    before = dict(mpl.rcParams)
    ecg.plot(scale * ecg.examples(1)[0], ax)
    figure.savefig(tmp_path / "a.png")
    assert not plt.get_fignums()
    assert dict(mpl.rcParams) == before
    assert ax.has_data()
    assert ax.get_aspect() == 0.4
    assert ax.get_xlabel() == "25 mm/s, 10 mm/mV"


def test_paper_has_a_line_every_millimeter_and_a_pulse_where_it_fits():
    ax = Figure().add_subplot()
    ECG(rate=100, seconds=2).plot(torch.zeros(1, 200), ax)
    fine, heavy = (np.array([line[0] for line in lines.get_segments()]) for lines in ax.collections)
    x, y = (fine[:, axis] for axis in (0, 1))
    assert np.allclose(np.unique(x.round(6)), np.arange(-0.4, 2.001, 0.04))
    assert np.allclose(np.unique(y.round(6)), np.arange(-1.0, 1.5001, 0.1))
    assert set(np.unique(heavy[:, 0].round(6))) <= set(np.unique(x.round(6)))
    pulse = ax.lines[1].get_xydata()
    assert pulse[:, 1].max() == 1
    assert np.ptp(pulse[pulse[:, 1] == 1][:, 0]) == pytest.approx(0.2)
    beat = Figure().add_subplot()
    ECG(rate=128, seconds=1).plot(torch.zeros(1, 128), beat)
    assert len(beat.lines) == 1


def test_leads_are_stacked_by_name_and_do_not_cross():
    torch.manual_seed(0)
    ecg, ax = ECG(leads=["I", "II", "V2"], rate=100, seconds=2), Figure().add_subplot()
    sample = ecg.examples(1)[0]
    ecg.plot(3 * sample, ax)
    traces = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 200]
    assert [text.get_text() for text in ax.texts] == ["I", "II", "V2"]
    assert all((above > below).all() for above, below in pairwise(traces))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"leads": 0}, "'leads'"),
        ({"leads": []}, "'leads'"),
        ({"leads": ["II", "ii"]}, "'leads' names one lead twice"),
        ({"rate": 0}, "'rate'"),
        ({"rate": float("inf")}, "'rate'"),
        ({"rate": 0.5, "seconds": 10}, "5 samples, fewer than 8"),
        ({"highpass": 60}, "must be below half the rate"),
        ({"qrs": -1}, "'qrs'"),
        ({"gain": 1}, "'gain'"),
        ({"loosen": 1}, "'loosen'"),
        ({"lead": 1}, "did you mean 'leads'"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        ECG(**wrong)
    assert "\n" not in str(caught.value)


def test_trains_and_generates_beside_another_modality():
    torch.manual_seed(0)
    ecg = ECG(rate=64, seconds=1, width=4)
    samples = {"ecg": ecg.examples(12), "rhythm": torch.randn(12, 4)}
    data = mv.MultimodalDataset.from_tensors(samples, [0, 1] * 6, {"ecg": ecg, "rhythm": mv.Vector(size=4)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=LATENT, seed=0)
    mv.fit(vae, data, epochs=1, per_class=3, device="cpu", show=False)
    ecg.check(mv.Synthesizer(vae).fit(data).sample("1", 3, seed=0)["ecg"])
    with pytest.raises(DataError):
        ecg.check(torch.full((1, 1, 64), float("nan")))


def test_import_is_light_and_raises_no_warning():
    code = (
        "import sys; from multimodal_vae_ecg import ECG; e = ECG(); e.corrupt(e.augment(e.examples(2)));"
        "heavy = {'wfdb', 'edfio', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
