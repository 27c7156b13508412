"""Two processes train as one does, without batch norm to rounding; and evaluate and generate exactly so."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import distributed
from multimodal_vae.files import read_tensors

TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PLAIN = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
PLAIN |= {"OMP_NUM_THREADS": "1"}

STEPS = """
import json, os, pathlib, signal, sys, time
import torch
import multimodal_vae as mv
from multimodal_vae import distributed
from multimodal_vae.files import write_tensors
from multimodal_vae.synthesis import generation
from multimodal_vae.training import loop, refining

generation.CHUNK_SIZE = 2

torch.set_num_threads(1)
rng = torch.Generator().manual_seed(0)
labels = [row % 3 for row in range(24)]
samples = {"x": torch.randn(24, 3, generator=rng), "y": torch.randn(24, 2, generator=rng)}
class Whole(mv.Vector):  # whose encoder drops no elements at random, which would be others in each process
    def encoder(self):
        return torch.nn.Sequential(*(layer for layer in super().encoder() if not isinstance(layer, torch.nn.Dropout)))
class Squares(Whole):  # no likelihood, so that processes share a temperature
    def likelihood(self, decoded):
        return None
    def observe(self, decoded):
        return decoded[:, 0]
    def reconstruction_loss(self, decoded, target):
        return (decoded[:, 0] - target).square().mean(1)
parts = {"x": Whole(size=3, hidden=8, cell="path"), "y": Squares(size=2, hidden=8)}
data = mv.MultimodalDataset.from_tensors(samples, labels, parts)
class Line(mv.Refiner):
    def build(self, shape, latent_dim, classes):
        self.network = torch.nn.Linear(shape[0], shape[0])
    def loss(self, coarse, target, latents, labels):
        return (self.network(coarse) - target).square().mean(1)
    def forward(self, coarse, latents, labels, noise):
        return self.network(coarse) + noise
fuse = mv.Concat.forward
def without_noise(self, *given):
    found = fuse(self, *given)
    return mv.Gaussian(found.mean, torch.full_like(found.logvar, -60.0))
mv.Concat.forward = without_noise
triplet = mv.Triplet(margin=2.0)
vae = mv.MultimodalVAE(data.modalities, data.classes, "concat", metric_loss=triplet, latent_dim=4, seed=0)
new = mv.MultimodalVAE(data.modalities, data.classes, "concat", latent_dim=4, seed=1).eval()
density = mv.Synthesizer(new).fit(data)
with distributed.join_processes(torch.device("cpu")):
    module = distributed.wrap_model(vae)
    batches = loop.BalancedBatches(data.labels, data.classes, 4, torch.Generator().manual_seed(0))
    optimizer, found = torch.optim.SGD(vae.parameters(), lr=0.05), []
    for _ in range(3):
        batch = data.batch(distributed.shard(batches.draw()))
        found += loop.train_step(vae, [batch], optimizer, module=module)
    refined = refining.Refining(new, "x", refining.build_refiner(new, "x", Line(), seed=0)).train()
    module, optimizer = distributed.wrap_model(refined), torch.optim.SGD(refined.parameters(), lr=0.05)
    for _ in range(3):
        loop.train_step(refined, [data.batch(distributed.shard(batches.draw()))], optimizer, module=module)
    mv.Concat.forward = fuse
    evaluated = loop.evaluate(new, data, 0, batch_size=5)
    if "lose" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, which may be there before the loss is noticed
        write = mv.Vector.write
        def lost(self, sample, path):
            if distributed.rank() == 1 and path.name == "2-3.npy":
                path.write_bytes(b"half")
                while len(list((path.parents[2] / "parts").glob("[0-9]*.csv"))) < 6:  # all of the other's, one of this
                    time.sleep(0.01)
                os._exit(9)
            write(self, sample, path)
        mv.Vector.write = lost
    mv.write_samples(pathlib.Path(sys.argv[1] + "-samples"), density, {"0": 3, "2": 9, "1": 4}, 0, {}, 0.7, 0.3)
    if distributed.rank() == 0:
        weights = torch.cat([parameter.detach().flatten() for net in (vae, refined) for parameter in net.parameters()])
        facts = {"found": json.dumps(found), "evaluated": json.dumps(evaluated)}
        write_tensors(pathlib.Path(sys.argv[1]), {"weights": weights}, facts)
"""


def run(command, out, *words):
    program = out.with_suffix(".py")
    program.write_text(STEPS)
    return subprocess.run([*command, str(program), str(out), *words], capture_output=True, text=True, env=PLAIN)


def steps(command, out):
    done = run(command, out)
    assert done.returncode == 0, done.stderr
    tensors, metadata = read_tensors(out)
    return tensors["weights"], json.loads(metadata["found"]), json.loads(metadata["evaluated"])


def generated(folder):
    """Every file by its path, but for the one that bears the date."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found.pop("provenance.json")
    return found


def test_two_processes_train_evaluate_and_generate_as_one_does(tmp_path):
    lost = run(TWO, tmp_path / "lost", "lose")
    assert lost.returncode
    assert lost.stderr.count("TrainingError: another process was lost; rerun the command to resume") == 1
    assert not (tmp_path / "lost-samples").exists()
    assert len(list((tmp_path / ".lost-samples.partial" / "parts").iterdir())) == 6
    weights, figures, evaluated = steps([sys.executable], tmp_path / "lost")  # goes on alone
    shared, their_figures, their_evaluated = steps(TWO, tmp_path / "two")
    assert their_evaluated == evaluated  # the very same, since each batch's figures are computed by one process
    files = generated(tmp_path / "lost-samples")
    assert len(files) == 1 + 16
    assert generated(tmp_path / "two-samples") == files
    assert any(each["metric"] > 0 for each in figures)  # or the triplets across processes would go untested
    for one, two in zip(figures, their_figures, strict=True):
        assert two == pytest.approx(one, rel=1e-5, abs=1e-6)
    # Sums in another order, over three steps.
    torch.testing.assert_close(shared, weights, rtol=1e-4, atol=1e-6)


def train(command, toml, out, **more):
    program = "from multimodal_vae.cli import main; main()"
    (toml.parent / "program.py").write_text(program)
    words = [*command, str(toml.parent / "program.py"), "train", str(toml), "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=PLAIN, **more)


@pytest.fixture
def long(toml):
    text = toml.read_text("utf-8").replace("per_class = 3", "per_class = 4")
    toml.write_text(
        text.replace("epochs = 2", "epochs = 30\nearly_stopping = false\ncheckpoint_seconds = 0.0\naverage = 0.9"),
        "utf-8",
    )
    return toml


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_the_command_line_trains_on_two_processes_loses_one_and_goes_on_on_one(long, tmp_path):
    process = train(TWO, long, tmp_path / "run", start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not (tmp_path / "run" / "log.jsonl").exists():  # of the first epoch
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode
    reached = log(tmp_path / "run")
    assert 0 < len(reached) < 30
    one = train([sys.executable], long, tmp_path / "run")
    out, err = one.communicate(timeout=300)
    assert one.returncode == 0, err
    assert out == f"trained: {tmp_path / 'run'}\n"
    assert [line["epoch"] for line in log(tmp_path / "run")] == list(range(1, 31))
    assert mv.open_run(tmp_path / "run").status["state"] == "done"


def test_batches_that_cannot_be_shared_evenly_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    distributed.require_even_shards(60)
    with pytest.raises(mv.ConfigurationError, match="of 30 samples cannot be divided evenly among 4 processes"):
        distributed.require_even_shards(30)


def test_on_one_process_nothing_happens():
    x = torch.randn(3, requires_grad=True)
    assert distributed.gather(x) is x
    assert torch.equal(distributed.shard(torch.arange(5)), torch.arange(5))
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    vae = mv.MultimodalVAE({"x": mv.Vector(size=2)}, ["a"], latent_dim=2)
    assert distributed.wrap_model(vae) is vae


def test_shares_are_disjoint_and_together_the_batch(monkeypatch):
    rows, seen = torch.randperm(12), []
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        seen.append(distributed.shard(rows))
    assert [len(part) for part in seen] == [4, 4, 4]
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(12))
