import json
import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import calibration
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.data.columns import Column
from multimodal_vae.training.loop import _rate_factor, evaluate, train
from multimodal_vae.training.settings import Training

QUICK = {"epochs": 3, "per_class": 4, "device": "cpu", "show": False}


def equal(first, second):
    return all(torch.equal(x, second[name]) for name, x in first.items())


@pytest.fixture
def trained(make_data, make_model):
    def run(data=None, validation=None, **settings):
        data = data or make_data()
        return mv.fit(make_model(data), data, validation, **{**QUICK, **settings})

    return run


def test_a_seed_gives_the_same_weights_and_the_same_pairs_whatever_came_before(trained, make_data):
    data = make_data()
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        vae = trained(data, seed=3)
        results.append((vae.state_dict(), mv.Synthesizer(vae, "gmm").fit(data).sample("ill", 5, seed=4)))
    (first, pairs), (second, again) = results
    assert equal(first, second)
    assert equal(pairs, again)


def test_another_seed_gives_other_weights(trained):
    assert not equal(trained(seed=3).state_dict(), trained(seed=4).state_dict())


def test_torchs_random_state_is_left_alone(trained, make_data):
    data = make_data()
    before = torch.random.get_rng_state()
    vae = trained(data, data)
    synthesizer = mv.Synthesizer(vae, "kde").fit(data)
    synthesizer.sample("ill", 3, seed=0)
    vae.reconstruct(data)
    assert torch.equal(before, torch.random.get_rng_state())


def test_numpys_and_pythons_random_states_are_left_alone(trained, make_data):
    import random

    import numpy as np

    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    mv.Synthesizer(trained(), "gmm").fit(make_data())
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_validation_does_not_change_training(trained, make_data):
    data = make_data()
    assert equal(trained(data).state_dict(), trained(data, make_data(seed=9)).state_dict())


def test_loss_falls(make_data, make_model):
    data = make_data(60)
    losses = []
    train(
        make_model(data),
        data,
        None,
        Training(epochs=40, per_class=10, learning_rate=5e-3, device="cpu"),
        lambda e: losses.append(e.training["loss"]),
        show=False,
    )
    # No model gets below the entropy of the samples: noise of deviation 1 in each of five elements, and the class.
    least = 5 * 0.5 * math.log(2 * math.pi * math.e) + math.log(2)
    assert sum(losses[-5:]) - 5 * least < 0.7 * (sum(losses[:5]) - 5 * least)


def test_classes_become_clusters_and_draws_are_of_their_class(make_data, make_model):
    data = make_data(80)
    vae = mv.fit(
        make_model(data),
        data,
        **(QUICK | {"epochs": 60, "per_class": 20, "learning_rate": 5e-3, "early_stopping": False}),
    )
    synthesizer = mv.Synthesizer(vae, "kde").fit(data)
    means = {name: synthesizer.sample(name, 300, seed=0)["blood"].mean() for name in data.classes}
    # The classes' means are 0 and 3 by their making.
    assert means["well"] - means["ill"] > 1.5


def test_the_model_comes_back_on_the_cpu_in_evaluation_mode(trained):
    vae = trained()
    assert not vae.training
    assert vae.device.type == "cpu"


def test_an_epoch_says_what_it_came_to(make_data, make_model):
    data, epochs = make_data(), []
    train(make_model(data), data, data, Training(epochs=2, per_class=4, device="cpu"), epochs.append, show=False)
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert [epoch.steps for epoch in epochs] == [3, 6]
    for epoch in epochs:
        terms = dict(epoch.training)
        assert (
            set(terms)
            == set(epoch.validation)
            == {"loss", "reconstruction.blood", "reconstruction.gait", "kl", "metric"}
        )
        total = terms["reconstruction.blood"] + terms["reconstruction.gait"] + terms["kl"] + terms["metric"]
        assert terms["loss"] == pytest.approx(total, rel=1e-5)
        assert epoch.seconds >= 0


def test_evaluation_is_repeatable_draws_nothing_and_weighs_batches_by_their_size(make_data, make_model):
    data = make_data(30)
    vae = make_model(data).train()
    state, weights = torch.random.get_rng_state(), {name: x.clone() for name, x in vae.state_dict().items()}
    first, second = evaluate(vae, data, 0), evaluate(vae, data, 0)
    assert first == second
    assert torch.equal(state, torch.random.get_rng_state())
    assert equal(weights, vae.state_dict())
    assert vae.training
    # The KL draws nothing, so it is the same however the set is cut into batches.
    assert evaluate(vae, data, 0, batch_size=7)["kl"] == pytest.approx(first["kl"], rel=1e-5)


def test_calibration_sees_training_samples_only(make_data, make_model):
    data = make_data()
    vae = make_model(data)
    mv.fit(vae, data, make_data(seed=5), **QUICK)
    torch.testing.assert_close(vae.encoders[0][0].mean, data.samples["blood"].mean(0))
    torch.testing.assert_close(vae.decoders[1][0].decoder[1].deviation, data.samples["gait"].std(0, correction=0))


def test_calibration_takes_evenly_spaced_rows_of_a_large_set_and_absent_ones_never(make_data, make_model, monkeypatch):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[:4, 0] = False
    data = make_data(present=present)
    monkeypatch.setattr(calibration, "CALIBRATION_BYTES", 5 * 3 * 4)  # five samples of three numbers
    vae = make_model(data, fusion={"name": "concat", "dropout": 0.1})
    vae.calibrate(data)
    torch.testing.assert_close(vae.encoders[0][0].mean, data.samples["blood"][[4, 8, 12, 16, 20]].mean(0))


def test_samples_that_nothing_measures_are_not_read_to_calibrate(monkeypatch):
    parts = {"photo": mv.Image(size=(4, 4), channels=1, width=4)}
    data = mv.MultimodalDataset.from_tensors({"photo": torch.rand(4, 1, 4, 4)}, [0, 1] * 2, parts)
    vae = mv.MultimodalVAE(parts, data.classes, latent_dim=2, seed=0, objective={"reduction": "sum"})
    seen = []
    monkeypatch.setattr(Column, "__getitem__", lambda _, rows: seen.append(rows))
    vae.calibrate(data)
    assert not seen

    def calibrate(self, encoder, decoder, samples):
        seen.append("calibrated")

    monkeypatch.setattr(mv.Image, "calibrate", calibrate)
    vae.calibrate(data)
    assert [rows if isinstance(rows, str) else rows.tolist() for rows in seen] == [[0, 1, 2, 3], "calibrated"]


def test_what_a_batch_draws_depends_on_its_number_alone(make_data, make_model):
    data = make_data(30)
    vae = make_model(data)
    whole = evaluate(vae, data, 3, batch_size=10)
    parts = [evaluate(vae, data.subset(range(10 * number, 10 * number + 10)), 3 + number) for number in range(3)]
    for name, value in whole.items():
        assert value == pytest.approx(sum(part[name] for part in parts) / 3, rel=1e-12)


class Shifted(mv.Vector):
    """Input and target move by one together, and the input alone is wiped out."""

    seen: list = []  # noqa: RUF012

    def augment(self, x):
        return x + 1

    def corrupt(self, x):
        return torch.zeros_like(x)

    def reconstruction_loss(self, decoded, target):
        self.seen.append(target)
        return super().reconstruction_loss(decoded, target)

    def encoder(self):
        network = super().encoder()
        network.register_forward_pre_hook(lambda _, inputs: self.seen.append(inputs[0]))
        return network


def test_input_and_target_are_augmented_the_input_alone_corrupted_and_validation_neither():
    data = mv.MultimodalDataset.from_tensors(
        {"x": torch.full((4, 2), 5.0)}, [0, 1] * 2, {"x": Shifted(size=2, hidden=4)}
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
    Shifted.seen.clear()
    mv.fit(vae, data, data, epochs=1, per_class=2, device="cpu", show=False)
    training_input, training_target, checked_input, checked_target, *_ = Shifted.seen
    assert (training_input == 0).all()
    assert (training_target == 6).all()
    assert (checked_input == 5).all()
    assert (checked_target == 5).all()


def test_unlabeled_samples_are_left_out_of_training_unless_asked_for(make_model):
    data = mv.MultimodalDataset.from_tensors(
        {"x": torch.randn(9, 2)}, [0, 1] * 4 + [None], {"x": mv.Vector(size=2, hidden=4)}
    )
    rows = torch.cat(list(BalancedBatches(data.labels, data.classes, 4, torch.Generator())))
    assert 8 not in rows
    rows = torch.cat(list(BalancedBatches(data.labels, data.classes, 4, torch.Generator(), unlabeled=1)))
    assert 8 in rows
    make_and_train = mv.fit(make_model(data), data, data, **QUICK)
    assert make_and_train.embed(data).isfinite().all()


class Breaking(mv.Vector):
    """A modality whose loss is infinite for samples above a limit."""

    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        return torch.where((target > 50).any(1), math.inf, loss)


def test_a_term_that_is_not_finite_is_named_with_its_samples_and_the_weights_stay(tmp_path):
    samples = torch.randn(8, 2)
    samples[5] = 100
    data = mv.MultimodalDataset.from_tensors(
        {"x": samples, "y": torch.randn(8, 2)},
        [0, 1] * 4,
        {"x": Breaking(size=2, hidden=4), "y": mv.Vector(size=2, hidden=4)},
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
    before = {name: x.clone() for name, x in vae.named_parameters()}
    with pytest.raises(mv.TrainingError, match=r"reconstruction\.x is not finite.*samples .*") as caught:
        mv.fit(vae, data, **(QUICK | {"out": tmp_path / "run"}))
    assert "\n" not in str(caught.value)
    assert "reconstruction.y" not in str(caught.value)
    assert equal(before, dict(vae.named_parameters()))
    assert json.loads((tmp_path / "run" / "status.json").read_text("utf-8"))["state"] == "failed"


def test_what_failed_in_its_first_epoch_does_not_block_the_folder(make_data, make_model, tmp_path):
    data, run = make_data(), tmp_path / "run"
    with pytest.raises(mv.TrainingError):
        mv.fit(make_model(data), data, **(QUICK | {"learning_rate": 1e30, "out": run}))
    (run / "notes.txt").write_text("mine")
    assert json.loads((run / "status.json").read_text("utf-8"))["epochs_done"] == 0
    again = mv.fit(make_model(data), data, **(QUICK | {"out": run}))
    assert json.loads((run / "status.json").read_text("utf-8"))["state"] == "done"
    assert (run / "notes.txt").read_text() == "mine"
    assert equal(again.state_dict(), mv.fit(make_model(data), data, **QUICK).state_dict())


def test_a_learning_rate_that_blows_up_is_a_training_error(make_data, make_model):
    data = make_data()
    with pytest.raises(mv.TrainingError, match="lower the learning rate"):
        mv.fit(make_model(data), data, **(QUICK | {"learning_rate": 1e30, "epochs": 20}))


def test_values_that_are_not_finite_cannot_get_in():
    for value in (math.nan, math.inf):
        with pytest.raises(mv.DataError, match="not finite"):
            mv.MultimodalDataset.from_tensors({"x": torch.full((2, 2), value)}, [0, 1], {"x": mv.Vector(size=2)})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, "'epoch'.*did you mean 'epochs'"),
        ({"epochs": 0}, "epochs.*greater than 0"),
        ({"per_class": 1}, "per_class"),
        ({"schedule": "linear"}, "schedule.*'linear'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_a_wrong_setting_is_named(make_data, make_model, settings, words):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match=words) as caught:
        mv.fit(make_model(data), data, show=False, **settings)
    assert "\n" not in str(caught.value)


def test_a_class_without_training_samples_is_named(make_data, make_model):
    data = make_data(classes=["ill", "well", "rare"])
    with pytest.raises(mv.DataError, match="class 'rare'"):
        mv.fit(make_model(data), data, **QUICK)


def rate_factor(settings, steps):
    return lambda step: _rate_factor(settings, step, steps)


def test_a_constant_schedule_is_constant():
    factor = rate_factor(Training(warmup=0), 100)
    assert {factor(step) for step in range(100)} == {1.0}


def test_a_warm_up_rises_in_equal_steps_to_one():
    factor = rate_factor(Training(warmup=4), 100)
    assert [factor(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_a_cosine_falls_from_one_to_zero():
    factor = rate_factor(Training(schedule="cosine", warmup=0), 100)
    assert factor(0) == 1
    assert factor(25) == pytest.approx(0.5 + math.sqrt(2) / 4)
    assert factor(50) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0, abs=1e-12)
    values = [factor(step) for step in range(101)]
    assert values == sorted(values, reverse=True)


def test_a_warm_up_and_a_cosine_meet_at_one():
    factor = rate_factor(Training(schedule="cosine", warmup=10), 110)
    assert factor(9) == pytest.approx(10 / 11)
    assert factor(10) == 1
    assert factor(60) == pytest.approx(0.5)
    assert factor(110) == pytest.approx(0, abs=1e-12)


def test_the_optimizer_follows_the_schedule(make_data, make_model, monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def watch(self, *arguments, **named):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", watch)
    data = make_data()
    mv.fit(make_model(data), data, **(QUICK | {"learning_rate": 0.01, "schedule": "cosine", "warmup": 1}))
    expected = [0.005] + [0.005 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates == pytest.approx(expected)


def test_showing_prints_a_line_an_epoch_and_whose_weights_are_kept_on_standard_error(make_data, make_model, capfd):
    data = make_data()
    mv.fit(make_model(data), data, data, **(QUICK | {"show": True}))
    out, err = capfd.readouterr()
    assert out == ""
    *epochs, weights = err.splitlines()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert weights.startswith("the model has the weights of epoch 3 of 3, with the best validation.loss, ")
    assert all(word in err for word in ("blood", "gait", "KL", "metric", "validation", "batches/s"))
    mv.fit(make_model(data), data, **QUICK)
    assert capfd.readouterr() == ("", "")


def test_several_draws_are_the_mean_of_one_each(make_data, make_model):
    data = make_data(30)
    vae = make_model(data)
    together = evaluate(vae, data, 3, draws=4)
    single = [evaluate(vae, data, 3 + number) for number in range(4)]
    for name, value in together.items():
        assert value == pytest.approx(sum(each[name] for each in single) / 4, rel=1e-12)
