"""A training that was stopped goes on to the very weights and log that it would have had uninterrupted."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.files import write_tensors
from multimodal_vae.training import loop
from stopping import stopped_after


class Noisy(mv.Vector):
    """Draws random numbers in both ways that a modality may."""

    def augment(self, x):
        return x + 0.1 * torch.randn_like(x)

    def corrupt(self, x):
        return x * (torch.rand_like(x) > 0.1)


RICH = {
    "epochs": 4, "per_class": 2, "device": "cpu", "learning_rate": 0.01, "schedule": "cosine", "warmup": 3,
    "kl_warmup": 5, "clip": 0.5, "accumulate": 2, "early_stopping": {"metric": "validation.loss", "patience": 3},
    "checkpoint_seconds": 0, "average": 0.9,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def data(make_data):
    made = make_data(26)
    samples = {"blood": made.samples["blood"], "gait": made.samples["gait"]}
    parts = {"blood": Noisy(size=3, hidden=4), "gait": mv.Image(size=(1, 2), channels=1, width=4)}
    samples["gait"] = samples["gait"].sigmoid()[:, None, None]
    return mv.MultimodalDataset.from_tensors(samples, [made.classes[k] for k in made.labels], parts)


def fit(data, out, **settings):
    """The same training, from a model that is made anew."""
    train, validation, _ = data.split(0.7, 0.3, 0.0, seed=0)
    vae = mv.MultimodalVAE(data.modalities, data.classes, mv.Concat(dropout=0.3), latent_dim=3, seed=0)
    return mv.fit(vae, train, validation, out=out, show=False, **RICH | settings)


def left(folder):
    """What has to be the same, bit for bit."""
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "log.jsonl", "config.toml")}


@pytest.fixture
def whole(data, tmp_path):
    fit(data, tmp_path / "whole")
    return left(tmp_path / "whole")


def test_stopped_at_any_step_it_goes_on_to_the_same_end(data, whole, tmp_path, monkeypatch):
    # 18 samples are 4 batches of 4, and so 2 steps of 2 batches, in each of 4 epochs.
    steps = json.loads(whole["log.jsonl"].splitlines()[-1])["step"]
    assert steps == 8
    for stop in range(1, steps):
        out = tmp_path / f"stopped-{stop}"
        with (
            stopped_after(stop, monkeypatch),
            pytest.raises(mv.TrainingInterrupted, match="rerun the same command or call to resume"),
        ):
            fit(data, out, checkpoint_seconds=1e9)  # only because it is asked to stop
        assert mv.open_run(out, data, parts=[Noisy]).status["state"] == "interrupted"
        assert (out / "checkpoint.safetensors").exists()
        fit(data, out, checkpoint_seconds=1e9)
        assert {**left(out), "config.toml": b""} == {**whole, "config.toml": b""}
        assert not (out / "checkpoint.safetensors").exists()


def test_stopped_at_every_step_it_still_comes_to_the_same_end(data, whole, tmp_path, monkeypatch):
    for _ in range(8):
        with stopped_after(1, monkeypatch), contextlib.suppress(mv.TrainingInterrupted):
            fit(data, tmp_path / "run")
    fit(data, tmp_path / "run")
    assert left(tmp_path / "run") == whole


def test_a_failure_between_log_and_checkpoint_leaves_no_line_twice(data, whole, tmp_path, monkeypatch):
    save, calls = loop.TrainingState.save, []

    def failing(self, path):
        calls.append(self.position.steps)
        if len(calls) == 4:  # the epoch's line is in the log already
            raise mv.RunError("the disk is full")
        save(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(loop.TrainingState, "save", failing)
        with pytest.raises(mv.RunError, match="the disk is full"):
            fit(data, tmp_path / "run")
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2
    with open(tmp_path / "run" / "log.jsonl", "a") as log:
        log.write('{"step": 9')  # cut short
    fit(data, tmp_path / "run")
    assert left(tmp_path / "run") == whole


def test_a_class_that_nobody_registered_goes_on_in_another_session(data, stopped, whole):
    registry._registered.clear()
    fit(data, stopped)
    assert left(stopped) == whole


def test_a_training_that_is_done_is_only_read(data, whole, tmp_path, monkeypatch):
    def train(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr("multimodal_vae.run_training.train", train)
    again = fit(data, tmp_path / "whole")
    assert not again.training
    run = mv.open_run(tmp_path / "whole", data, parts=[Noisy])
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in run.model.state_dict().items())
    assert left(tmp_path / "whole") == whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 5}, r"\[training\] epochs was 4 and is 5"),
        ({"clip": False}, r"\[training\] clip was 0.5 and is False"),
        ({"early_stopping": {"patience": 9}}, r"\[training.early_stopping\] patience was 3 and is 9"),
        ({"loggers": ["jsonl"]}, r"\[training\] loggers was"),
    ],
)
def test_another_configuration_is_refused_with_what_has_changed(data, whole, tmp_path, settings, words):
    with pytest.raises(mv.RunError, match=f"another configuration: {words}.*choose another folder"):
        fit(data, tmp_path / "whole", **settings)
    assert left(tmp_path / "whole") == whole


def test_a_damaged_configuration_is_refused_in_one_line(data, stopped):
    (stopped / "config.toml").write_bytes(b"[training\n\xff")
    with pytest.raises(mv.RunError, match=r"config.toml is damaged: \w+Error") as caught:
        fit(data, stopped)
    assert "\n" not in str(caught.value)


def test_other_data_is_refused(data, whole, tmp_path):
    data.samples["blood"][0] += 1
    with pytest.raises(mv.RunError, match=r"on other (train|validation) samples; restore the data"):
        fit(data, tmp_path / "whole")
    assert left(tmp_path / "whole") == whole


@pytest.fixture
def stopped(data, tmp_path, monkeypatch):
    with stopped_after(3, monkeypatch), pytest.raises(mv.TrainingInterrupted):
        fit(data, tmp_path / "run")
    return tmp_path / "run"


def test_densities_of_an_interrupted_training_are_not_kept(data, stopped):
    mv.open_run(stopped, data, parts=[Noisy]).synthesizer("gmm")
    assert list((stopped / "samplers").iterdir())
    (stopped / ".model.safetensors.123").write_bytes(b"half written")
    fit(data, stopped)
    assert not list((stopped / "samplers").iterdir())
    assert not list(stopped.glob(".*"))


def test_files_of_others_in_the_folder_stay(data, whole, stopped):
    mv.open_run(stopped, data, parts=[Noisy]).synthesizer("gmm")
    (stopped / ".git").mkdir()
    (stopped / "samplers" / "kept").mkdir()
    (stopped / ".model.safetensors.0a").symlink_to("config.toml")
    shutil.copy(stopped / "samplers" / "gmm.safetensors", stopped / "samplers" / "copy.safetensors")
    mine = [
        ".env",
        ".git/config",
        ".model.safetensors.old",
        "samplers/.hidden",
        "samplers/a.txt",
        "samplers/x.safetensors",
    ]
    for name in mine:
        (stopped / name).write_text("mine", "utf-8")
    fit(data, stopped)
    assert left(stopped) == whole
    assert [(stopped / name).read_text("utf-8") for name in mine] == ["mine"] * len(mine)
    assert (stopped / ".model.safetensors.0a").is_symlink()
    assert {path.name for path in (stopped / "samplers").iterdir()} == {
        ".hidden", "a.txt", "copy.safetensors", "kept", "x.safetensors",
    }  # fmt: skip


def test_a_folder_that_was_killed_while_it_was_made_is_made_anew(data, whole, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_bytes(b"half written")
    (tmp_path / "run" / ".config.toml.77").write_bytes(b"half written")
    fit(data, tmp_path / "run")
    assert left(tmp_path / "run") == whole


@pytest.mark.parametrize("name", [".config.toml.0123456789abcdef", "split.json", ".mmvae.lock"])
def test_whatever_a_process_leaves_that_is_killed_at_the_beginning_is_replaced(data, whole, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_bytes(b"")
    fit(data, tmp_path / "run")
    assert left(tmp_path / "run") == whole
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("name", ["manifest.csv", ".env", ".config.toml.20240101", "model.safetensors"])
def test_a_folder_of_ones_own_that_has_a_configuration_is_no_run(data, tmp_path, name):
    (tmp_path / "config.toml").write_text("[data]\n", "utf-8")
    with pytest.raises(mv.RunError, match="has a training with another configuration"):
        fit(data, tmp_path)
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(mv.RunError, match="already exists"):
        fit(data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.toml", name}
    assert (tmp_path / "config.toml").read_text("utf-8") == "[data]\n"


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_checkpoint_that_was_cut_short_is_refused_and_left_alone(data, stopped, kept):
    path = stopped / "checkpoint.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(mv.RunError, match=r"checkpoint.safetensors is not a complete safetensors file") as caught:
        fit(data, stopped)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content[: int(kept * len(content))]


@given(st.sampled_from(["", "{}", "[]", '{"epoch": "x"}', "\0"]))
def test_a_foreign_position_is_refused(tmp_path_factory, text):
    from multimodal_vae.training.checkpoint import read_position

    path = tmp_path_factory.getbasetemp() / "foreign.safetensors"
    write_tensors(path, {"x": torch.zeros(1)}, {"position": text} if text else {})
    if text == "{}":
        return  # every part of a position has a default
    with pytest.raises(mv.RunError, match="is not a checkpoint"):
        read_position(path)


def test_a_checkpoint_of_another_model_is_refused(data, stopped):
    path = stopped / "checkpoint.safetensors"
    write_tensors(path, {"model.x": torch.zeros(1)}, {"position": '{"epoch": 1}'})
    with pytest.raises(mv.RunError, match="is not a checkpoint of this training"):
        fit(data, stopped)


def command(toml, out):
    return [sys.executable, "-c", "from multimodal_vae.cli import main; main()", "train", str(toml), "--out", str(out)]


@pytest.fixture
def long(toml):
    text = toml.read_text("utf-8")
    toml.write_text(
        text.replace("epochs = 2", "epochs = 120\nearly_stopping = false\ncheckpoint_seconds = 0.0"), "utf-8"
    )
    return toml


def start(toml, out):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(toml, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def run_to_the_end(toml, out):
    process = start(toml, out)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_killed_at_random_moments_it_comes_to_the_same_end(long, tmp_path):
    run_to_the_end(long, tmp_path / "whole")
    rng, killed = random.Random(0), 0
    for _ in range(3):
        process = start(long, tmp_path / "run")
        try:
            for _ in range(rng.randint(2, 10)):  # lines of its progress, so that it is well under way
                if not process.stderr.readline():
                    break
            time.sleep(rng.uniform(0, 0.02))
        finally:
            killed += process.poll() is None
            process.kill()
            process.communicate()
    assert killed == 3
    run_to_the_end(long, tmp_path / "run")
    assert left(tmp_path / "run") == left(tmp_path / "whole")


def test_sigterm_ends_after_the_step_with_a_checkpoint_and_one_line(long, tmp_path):
    process = start(long, tmp_path / "run")
    try:
        for _ in range(3):
            process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert out == ""
    (said,) = [line for line in err.splitlines() if not line.startswith("epoch ")]
    assert said.startswith("mmvae: training was interrupted after ")
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"


def test_handlers_of_signals_are_given_back(data, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fit(data, None)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_early_stopping_ends_with_the_weights_of_the_best_epoch(make_data, make_model, tmp_path):
    data, other = make_data(), make_data(seed=3)
    settings = {"per_class": 4, "device": "cpu", "show": False, "learning_rate": 0.05}
    watched = {"metric": "validation.loss", "patience": 2}
    vae = mv.fit(make_model(data), data, other, epochs=100, early_stopping=watched, out=tmp_path / "run", **settings)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["validation.loss"] for line in log]
    best = losses.index(min(losses))
    assert len(log) == best + 3 < 100  # two more epochs, neither of them better
    assert loop.evaluate(vae, other, 0, draws=8)["loss"] == pytest.approx(min(losses), rel=1e-6)


def test_early_stopping_on_what_is_no_figure_says_which_there_are(make_data, make_model):
    data, watched = make_data(), {"metric": "validation.los"}
    with pytest.raises(mv.TrainingError, match=r"'validation.los', but there is no such metric; .*training.loss"):
        mv.fit(make_model(data), data, data, epochs=2, per_class=4, early_stopping=watched, show=False)


def test_batches_accumulated_make_the_step_of_one_large_batch(make_data, make_model):
    data, results = make_data(16), []
    objective = {"metric_weight": 0.0, "kl_weight": 0.0}  # what belongs to the batch as a whole is not a mean over it
    for per_class, accumulate in ((8, 1), (4, 2)):
        vae = make_model(data, objective=objective)
        for dropout in (module for module in vae.modules() if isinstance(module, torch.nn.Dropout)):
            dropout.p = 0.0  # the masks of two halves are not those of the whole
        batches = loop.BalancedBatches(data.labels, data.classes, per_class, torch.Generator().manual_seed(0))
        optimizer = torch.optim.SGD(vae.parameters(), lr=0.1)
        vae.fusion.register_forward_hook(_without_noise)
        loop.train_step(vae.train(), [data.batch(batches.draw()) for _ in range(accumulate)], optimizer, accumulate)
        results.append(torch.cat([parameter.detach().flatten() for parameter in vae.parameters()]))
    torch.testing.assert_close(*results)


def _without_noise(fusion, given, found):
    return mv.Gaussian(found.mean, torch.full_like(found.logvar, -60.0))


def test_clipping_bounds_the_step(make_data, make_model):
    data = make_data()
    batch = data.batch(torch.arange(len(data)))
    vae = make_model(data)
    before = torch.cat([p.detach().flatten() for p in vae.parameters()])
    loop.train_step(vae, [batch], torch.optim.SGD(vae.parameters(), lr=1.0), clip=1e-3)
    moved = torch.cat([p.detach().flatten() for p in vae.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_kls_weight_rises_with_the_steps():
    objective = mv.Objective(kl_weight=0.5)
    terms = {"kl": torch.ones(3), "reconstruction.x": torch.ones(3)}
    assert float(objective.total(terms, kl_share=0.25)) == pytest.approx(1.125)
    assert float(objective.total(terms)) == pytest.approx(1.5)
