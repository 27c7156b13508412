"""What the package is measured against computes the same, and the scripts that measure it run."""

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_rel

import multimodal_vae as mv
from accelerator import DEVICE, Accelerator, queue_copies
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a script as it finds its neighbors when it is run; all of them are forgotten afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} & set(sys.modules):
        del sys.modules[name]


@pytest.fixture
def printed(script, monkeypatch, capsys):
    """Run a script's own main, and give the rows of its tables."""

    def run(name, *arguments):
        module = script(name)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        module.main()
        page = capsys.readouterr().out
        assert page.startswith("## ")
        return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]

    return run


def test_the_plain_model_has_the_same_weights_loss_and_gradients(script):
    parts = {
        "otoscopy": mv.Image(size=(64, 64), network="residual", width=8, loss={"ssim": 1.0}),
        "wbt": mv.Image(size=(64, 64), channels=1, network="residual", width=8),
    }
    objective = {"reduction": "mean", "kl_weight": 0.1, "metric_weight": 0.1}
    classes = ["NOE", "OME", "AOM"]
    vae = mv.MultimodalVAE(parts, classes, "concat", latent_dim=128, objective=objective, seed=0).train()
    plain = script("plain").PlainVAE(8)
    plain.load_state_dict(vae.state_dict())
    plain.train()
    rng = torch.Generator().manual_seed(0)
    samples = {name: torch.rand(6, *part.shape, generator=rng) for name, part in parts.items()}
    labels = torch.arange(6) % 3
    torch.manual_seed(0)
    ours = vae.objective.total(vae(Batch(samples, torch.ones(6, 2, dtype=torch.bool), labels, list("abcdef"))))
    torch.manual_seed(0)
    theirs = plain.loss(list(samples.values()), list(samples.values()), labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.backward()
    theirs.backward()
    for name, first in vae.named_parameters():
        second = plain.get_parameter(name)
        if not name.endswith(("conv1.bias", "conv2.bias")):  # before batch norm, whose gradient is rounding alone
            scale = float(second.grad.abs().max())
            torch.testing.assert_close(first.grad, second.grad, rtol=1e-3, atol=1e-6 + 1e-4 * scale)


def test_ratios_are_those_of_neighbors_and_the_first_round_does_not_count(script, monkeypatch):
    timing = script("timing")
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def takes(*seconds):
        return lambda number: clock.__setitem__(0, clock[0] + seconds[number])

    found = timing.alternate({"slow": takes(100, 2, 4, 6), "fast": takes(100, 1, 1, 2)}, rounds=3)
    assert found["slow"] == timing.Timing(4, 1, 1, 1)
    assert found["fast"] == timing.Timing(1, 3, 2.5, 3.5)  # of 2, 4 and 3


def test_a_step_of_all_rivals_gives_the_same_losses(printed):
    rows = printed("train_step", "--widths", "8", "--rounds", "1", "--batch", "6")
    assert [row[1] for row in rows[1:3]] == ["plain", "float32"]
    losses = [[float(loss) for loss in row[-1].split()] for row in rows[1:3]]
    torch.testing.assert_close(losses[0][0], losses[1][0], rtol=1e-3, atol=0.0)


def test_the_operations_of_a_floor_are_those_of_its_convolutions_and_products(script):
    x, layer = torch.zeros(2, 5), torch.nn.Linear(5, 3)
    with script("floor").FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == 2 * (2 * 5 * 3) * 2  # forward, and the gradient of the weight


def test_each_network_and_precision_has_a_floor(printed):
    rows = printed("floor", "--widths", "8", "--rounds", "1", "--batch", "6")
    assert [row[0] for row in rows[1:2]] == ["compact"]
    assert {row[0] for row in rows if row[0] != "network"} == {"compact", "paper, width 8"}
    assert {row[1] for row in rows if row[0] == "compact"} <= {"float32", "bfloat16"}


def test_curves_with_one_seed_are_nearer_than_with_two(script):
    step = script("train_step")
    first, second = (step.curve(step.rival(8), 3, seed, size=6) for seed in (0, 1))
    own = step.curve(step.package(8, "float32"), 3, 0, size=6)
    assert (own - first).abs().mean() < 0.5 * (second - first).abs().mean()


def test_decoders_give_the_same_pictures(script):
    functions = script("decode").rivals(8, torch.randn(3, 128, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(functions["float32"](0), functions["plain"](0), rtol=1e-4, atol=1e-5)


def test_the_kde_of_one_leaf_is_ours(printed):
    rows = printed("kde", "--count", "30", "--dimensions", "4", "--rounds", "1")
    assert rows[-1][0] == "multimodal_vae"
    assert rows[-1][3] == rows[1][3]
    assert float(rows[-1][4]) < 1e-6


@pytest.mark.parametrize("degrees", [-17.0, 8.5])
def test_rotation_in_torch_alone_is_the_plugins(script, degrees):
    from kornia.geometry.transform import rotate

    x = script("pairs").samples(1, 0)["otoscopy"]
    expected = rotate(x, torch.tensor([degrees]), align_corners=True)
    torch.testing.assert_close(script("augmentation").rotated(x[0], degrees), expected[0], rtol=1e-3, atol=1e-4)


def test_erasing_in_torch_alone_takes_one_rectangle_of_the_plugins_size(script):
    augmentation = script("augmentation")
    torch.manual_seed(0)
    for _ in range(50):
        gone = augmentation.erased(torch.ones(2, 64, 64)) == 0
        rows, columns = (gone[0].any(axis).sum() for axis in (1, 0))
        assert gone.sum() == 2 * rows * columns
        assert 0.015 < gone.float().mean() < 0.42  # the share, to a pixel at each side


@pytest.mark.parametrize("way", ["the plugins", "torch only"])
def test_a_loader_gives_as_many_samples_as_whole_batches(script, way):
    augmentation, pairs = script("augmentation"), script("pairs")
    vae = pairs.model(8, network="compact")
    data = pairs.dataset(12, vae.modalities)
    rows = list(BalancedBatches(data.labels, data.classes, 2, torch.Generator().manual_seed(0)))
    transform = augmentation.plugin_transform(vae) if way == "the plugins" else augmentation.torch_transform
    ours = list(augmentation.whole_batches(vae, data, rows))
    theirs = list(augmentation.loader(data, rows, transform, 0))
    for (targets, inputs), batch, drawn in zip(ours, theirs, rows, strict=True):
        assert torch.equal(batch["label"], data.labels[drawn])
        for name in ("otoscopy", "wbt"):
            assert batch["targets"][name].shape == targets[name].shape
            assert batch["inputs"][name].shape == inputs[name].shape
            assert not torch.equal(batch["targets"]["otoscopy"], data.samples["otoscopy"][drawn])


def test_the_bare_loop_takes_the_packages_steps(script):
    overhead, pairs = script("loop_overhead"), script("pairs")
    ours, bare = (pairs.model(8, network="compact") for _ in range(2))
    data = pairs.dataset(12, ours.modalities)
    drawn = [BalancedBatches(data.labels, data.classes, 2, torch.Generator().manual_seed(0)) for _ in range(2)]
    torch.manual_seed(0)
    optimizer = adam(ours, overhead.RATE)
    losses = [train_step(ours, [data.batch(rows)], optimizer)[0]["loss"] for rows in drawn[0]]
    torch.manual_seed(0)
    own = overhead.bare_epoch(bare, data, drawn[1], adam(bare, overhead.RATE))
    assert [float(loss) for loss in own] == losses
    assert all(torch.equal(x, bare.state_dict()[name]) for name, x in ours.state_dict().items())


def test_the_loops_epochs_and_bare_ones_take_turns(script, tmp_path):
    spent, writing = script("loop_overhead").epoch_seconds("compact", 8, 2, 2, tmp_path, per_class=2)
    assert [len(own) for own in spent.values()] == [2, 2]
    assert writing > 0
    logged = [json.loads(line)["epoch"] for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert logged == [1, 2, 3]


def test_growth_prints_a_table_for_each_of_what_grows(printed):
    few = ("--modalities", "1", "--latents", "4", "--batches", "6", "--mined", "8", "16", "--fitted", "10")
    rows = printed("growth", "--rounds", "1", *few)
    assert [row[0] for row in rows if not row[0].isdecimal()] == [
        "modalities",
        "latent dimensions",
        "samples in a batch",
        "latents mined for triplets",
        "latents of a KDE",
    ]
    assert [row[0] for row in rows if row[0].isdecimal()] == ["1", "4", "6", "8", "16", "10"]


def test_every_fusion_takes_a_step_beside_poe(printed):
    rows = printed("fusion_step", "--rounds", "1", "--modalities", "2", "--batch", "6")
    assert [row[0] for row in rows[1:]] == ["poe", "concat", "moe", "mopoe", "mvtcae", "jmvae", "mmvaeplus"]
    assert [row[1] for row in rows[1:]] == ["3, 4", "1, 2", "2, 4", "3, 6", "1, 2", "1, 2", "2, 4"]


def test_the_page_holds_every_section_and_what_was_not_measured(script, tmp_path, monkeypatch):
    run = script("run")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "machine", lambda: "- a machine")
    (tmp_path / "good.py").write_text("print('## Good\\n\\n| 1 |')", "utf-8")
    (tmp_path / "bare.py").write_text("print('| 2 |')", "utf-8")
    (tmp_path / "bad.py").write_text("raise SystemExit(3)", "utf-8")
    scripts = [run.Script("good"), run.Script("bare", title="Bare"), run.Script("bad"), run.Script("x", (), "", "y")]
    found = list(run.outcomes(scripts, None))
    assert [each.section for each in found] == [
        "## Good\n\n| 1 |",
        "## Bare\n\n| 2 |",
        "## bad\n\nNot measured: the script ended with exit code 3.",
        "## x\n\nNot measured: y is not installed beside the package here.",
    ]
    found[1] = replace(found[1], machine="- another machine")
    page = run.page(found)
    assert "@" not in page
    for each, number in zip(found, (1, 2, 1, 1), strict=True):
        title, rest = each.section.split("\n\n")
        assert f"{title}\n\nMeasured on machine {number}, {run.today()}.\n\n{rest}" in page
    assert "Machine 1:\n\n- a machine\n\nMachine 2:\n\n- another machine\n" in page


def test_every_script_is_run_for_the_page(script):
    listed = {each.name for each in script("run").SCRIPTS}
    helpers = {"plain", "pairs", "timing", "report", "run", "multivae_parts"}
    helpers |= {
        "classifier_augmentation",
        "classifier_page",
        "classifier_training",
        "gpu",
        "gpu_paper",
        "gpu_stages",
        "missing",
        "sites",
        "tables",
        "real",
        "real_measures",
        "real_methods",
        "real_multivae",
        "real_page",
        "real_sets",
    }
    assert {path.stem for path in BENCHMARKS.glob("*.py")} - helpers == listed


def test_a_page_of_some_scripts_keeps_what_others_came_to(script, tmp_path, monkeypatch):
    run = script("run")
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    first, second = (run.SCRIPTS[row].name for row in (0, 1))
    for name, section in ((second, "old"), (first, "one"), (second, "new")):
        run.save(run.Outcome(name, section, 1.0, 0, "today", "- a machine"))
    assert [each.section for each in run.saved_outcomes()] == ["one", "new"]


@pytest.fixture
def tiny(script):
    """A data set of two vectors, each a linear function of five numbers, in three classes."""
    sets, rng = script("real_sets"), torch.Generator().manual_seed(0)
    maps = {name: torch.randn(5, size, generator=rng) for name, size in (("a", 6), ("b", 4))}

    def draw(count):
        labels = torch.arange(count) % 3
        z = torch.randn(count, 5, generator=rng) + 4 * torch.eye(5)[labels]
        return sets.LabeledSamples({name: z @ each for name, each in maps.items()}, labels)

    modalities = {name: mv.Vector(size=each.shape[1]) for name, each in maps.items()}
    return sets.Real(modalities, draw(120), draw(90))


def test_real_samples_and_the_baseline_reach_what_they_must(script, tiny):
    bench, methods = script("real_measures").Bench(tiny, 0), script("real_methods")
    real = bench.measure(methods.real_samples(tiny, 0))
    assert real["tstr"] == real["trtr"] > 0.9
    assert real["nearest"] == 1
    assert real["spread"] == pytest.approx(1, abs=0.2)
    assert not [name for name in real if name.startswith(("within", "overall", "class"))]
    gaussian = bench.measure(methods.baseline(tiny, 0))  # which the samples are
    assert gaussian["c2st"] < 0.65
    assert min(gaussian[f"class from {name}"] for name in "ab") > 0.6
    assert 0.5 < gaussian["within b"] < gaussian["overall b"] <= 1  # six of five numbers known


def test_the_package_is_measured_without_any_setting(script, tiny, monkeypatch):
    methods, given = script("real_methods"), []
    fit = mv.fit

    def short(vae, data, **settings):
        given.append(settings)
        return fit(vae, data, epochs=2, loggers=[])

    monkeypatch.setattr(mv, "fit", short)
    measured = script("real_measures").Bench(tiny, 0).measure(methods.ours(tiny, 0))
    assert given == [{}]
    assert {"tstr", "c2st", "purity", "spread", "nearest", "precision", "recall", "coverage"} <= set(measured)


def test_runs_are_resumed_and_become_a_table(script, tiny, monkeypatch, tmp_path, capsys):
    real = script("real")
    monkeypatch.setitem(real.SETS, "digits", lambda *_: tiny)
    results = real.Results(tmp_path / "results.jsonl")
    for again in (False, False, True):
        real.run(["digits", "gut"], ["real", "baseline"], [0, 1], tmp_path, results, again)
    assert len(results.path.read_text("utf-8").splitlines()) == 8
    assert "gut is skipped" in capsys.readouterr().err
    page = script("real_page").tables(results.lines())
    assert page.count("| training samples |") == 1
    assert page.count("| Gaussian per class, ridge |") == 2
    trtr = [line["metrics"]["trtr"] for line in results.lines() if line["method"] == "real"]  # their tstr
    assert f"| {sum(trtr) / 2:.2f} ± {abs(trtr[0] - trtr[1]) / 2:.2f} |" in page


def test_the_page_says_where_the_package_is_behind(script):
    def lines(method, **metrics):
        runs = (dict(zip(metrics, values, strict=True)) for values in zip(*metrics.values(), strict=True))
        return [{"method": method, "modalities": ["a"], "metrics": each} for each in runs]

    ours = lines("ours", tstr=[0.9, 0.91], c2st=[0.6, 0.61], spread=[1.2, 1.21], recall=[0.8, 0.6])
    theirs = lines("multivae-tuned", tstr=[0.8, 0.81], c2st=[0.3, 0.31], spread=[0.9, 0.91], recall=[0.9, 0.7])
    said = "Against MultiVae, tuned, ahead in: TSTR; behind in: spread, C2ST."
    assert script("real_page").balance(ours + theirs) == said


def test_memory_is_measured_of_each_task_and_size(printed):
    rows = printed("memory", "--sizes", "8", "--tasks", "sample")
    assert [row[0] for row in rows] == ["pairs", "8"]
    assert all(0.1 < float(row[1]) < 4 for row in rows[1:])  # GiB: torch alone takes more than the first


def test_every_command_of_the_readme_is_timed(script, tmp_path):
    commands = script("commands")
    (tmp_path / "runs/demo/cohort").mkdir(parents=True)
    named = dict(commands.commands(tmp_path, ["--noe", "4"], epochs=3))
    named_commands = [name.split()[1].strip("`") for name in named if name.startswith("`mmvae ")]
    assert named_commands[1:7] == ["train", "sample", "audit", "evaluate", "card", "release"]
    assert (tmp_path / "runs/cohort").is_dir()
    recipe = mv.Configuration.read(tmp_path / commands.RECIPE)
    assert recipe.training.epochs == 3
    assert recipe.data.manifest == tmp_path / "runs/cohort/manifest.csv"


def test_the_time_of_a_command_counts_its_children_and_tells_its_status(script, tmp_path, capfd):
    commands = script("commands")
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    found = commands.cost([sys.executable, "-c", child], tmp_path, {})
    assert found.status == 0
    assert min(found.cpu, found.seconds) >= 0.3
    assert commands.cost([sys.executable, "-c", "raise SystemExit('no room')"], tmp_path, {}).status == 1
    assert "no room" in capfd.readouterr().err


def test_the_time_to_quality_is_that_of_the_first_good_training(printed):
    options = ["--epochs", "1", "2", "--noe", "20", "--ome", "20", "--aom", "20"]
    head, *rows = printed("quality_time", *options)
    assert head[0] == "method"
    assert [row[:2] for row in rows] == [["the package", "1 epochs"], ["the package", "2 epochs"]]
    assert {row[-1] for row in rows} <= {"yes", "no"}


def test_the_script_for_a_gpu_is_stopped_and_goes_on(script, monkeypatch, tmp_path, capsys):
    gpu = script("gpu")
    whole, done = gpu.STAGES, ["laws", "equal", "steps"]
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path), "--device", "cpu", "--tiny"])

    def stopped_in(*names):
        def stop(given):
            raise KeyboardInterrupt

        stages = tuple(replace(stage, rows=stop) if stage.name in names else stage for stage in whole)
        monkeypatch.setattr(gpu, "STAGES", stages)

    stopped_in("generation")
    with pytest.raises(KeyboardInterrupt):
        gpu.main()
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == sorted(done)
    stopped_in(*done)  # which are not run again
    gpu.main()
    page = capsys.readouterr().out
    assert all(f"### {stage.title}\n" in page for stage in whole)
    rows = {stage.name: json.loads((tmp_path / f"{stage.name}.json").read_text("utf-8"))["rows"] for stage in whole}
    assert all(row[2] == "none" for row in rows["laws"])
    assert all(float(row[1]) == 0 for row in rows["equal"])  # the CPU, compared with itself
    assert not [row for name in ("steps", "generation") for row in rows[name] if "failed" in " ".join(row)]
    assert [row[0] for row in rows["paper"]] == ["to the stop", "resumed"]
    assert sum(int(row[1]) for row in rows["paper"]) == 6
    assert "purity" in [row[0] for row in rows["evaluation"]]


def test_no_step_of_the_papers_model_waits_for_an_accelerator(script, monkeypatch):
    stages, vae = script("gpu_stages"), script("pairs").model(4)
    data = script("pairs").dataset(12, vae.modalities)
    with Accelerator() as accelerator:
        queue_copies(monkeypatch)
        optimizer, fused = (torch.optim.SGD(vae.to(DEVICE).parameters(), lr=1e-3) for _ in range(2))
        load, metrics = stages.staged(data, DEVICE), stages.BatchMetrics(fused, DEVICE, 10)
        for _ in range(2):
            accelerator.waits.clear()
            train_step(vae, [load(torch.arange(12))], optimizer, metrics=metrics)
        assert not accelerator.waits


def test_rows_are_measured_beside_pandas(printed):
    rows = printed("rows", "--sizes", "600", "--rounds", "1")
    assert rows[0][1:3] == ["open the file: package", "open the file: pandas"]
    assert rows[1][0] == "600"
    assert len(rows[1]) == len(rows[0]) == 13


def test_the_exchange_of_processes_is_that_of_a_ring(script):
    ranks = script("ranks")
    network = ranks.Network("of a second per byte", 1.0, 0.0)
    # Each process of a ring sends and receives n - 1 of n parts twice: for the sum, and for its distribution.
    for count in (1, 2, 8, 64):
        assert ranks.exchange(network, count, 128, 0) == pytest.approx(2 * 128 * (count - 1) / count)
        assert ranks.exchange(network, count, 0, 10) == pytest.approx(2 * 10 * (count - 1))
    slow = ranks.Network("of a second per message", float("inf"), 1.0)
    assert ranks.exchange(slow, 8, 128, 10) == 4 * 7


def test_processes_are_computed_and_two_are_measured(printed):
    rows = printed("ranks", "--ranks", "2", "4", "--rounds", "1", "--width", "8", "--batch", "6")
    assert [row[1] for row in rows[1:]] == ["2", "4"] * 3
    assert all(0 < float(row[-1]) <= float(row[1]) * 1.01 for row in rows[1:])


@pytest.fixture
def task(script, make_data):
    """Two vectors that tell two classes apart, of which one is rare, and a generator of few steps."""
    data = make_data(60)
    train, test = data.subset([*range(28), *range(28, 44, 2)]), data.subset(range(44, 60))
    configuration = mv.Configuration(
        modalities=data.modalities, training={"steps": 4, "device": "cpu"}, density={"sampler": "gaussian"}
    )
    return script("classifier_augmentation").Task(train, test, "blood", configuration, steps=40)


def test_cells_of_a_classifier_are_resumed_and_become_a_table(script, task, monkeypatch, tmp_path, capsys):
    augmentation, arms = script("classifier_augmentation"), script("classifier_page").ARMS
    monkeypatch.setattr(augmentation, "SETS", {"breast": lambda _: task, "otitis": augmentation.otitis})
    file, page = tmp_path / "results", tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n", "utf-8")
    given = ["--sets", "breast", "otitis", "--cohort", tmp_path, "--fractions", "0.5", "1", "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", ["script", *map(str, given), "--results", str(file), "--page", str(page)])
    for _ in range(2):
        augmentation.main()
    assert "otitis is skipped" in capsys.readouterr().err
    lines = augmentation.read(file)
    assert [(line["seed"], line["fraction"]) for line in lines] == [(0, 0.5), (0, 1.0)]
    assert [sum(line["counts"]) for line in lines] == [len(task.train) // 2, len(task.train)]
    for line in lines:
        assert set(line["metrics"]) == {"real", *arms}
        assert line["metrics"]["real"]["auc"] > 0.9  # three standard deviations apart in each of three numbers
    written = page.read_text("utf-8")
    assert "old" not in written
    rows = re.fullmatch(r"before\n<!-- results -->\n\n(.*)\n\n<!-- end of results -->\nafter\n", written, re.DOTALL)[1]
    assert len(rows.splitlines()) == 3 + len(arms)
    assert {row.count("|") for row in rows.splitlines()} == {5}


@pytest.mark.parametrize("reference", [[0.6, 0.6, 0.61, 0.6], [0.5, 0.56, 0.5, 0.6]], ids=["uncertain", "certain"])
def test_gains_have_the_interval_of_a_paired_t_test(script, reference):
    found = [0.61, 0.66, 0.62, 0.7]
    low, high = ttest_rel(found, reference).confidence_interval(0.95)
    text = f"{(low + high) / 2:+.3f} ± {(high - low) / 2:.3f}"
    assert script("classifier_page").difference(found, reference) == (f"**{text}**" if low > 0 else text)


def test_synthetic_samples_fill_classes_up(script):
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    amounts = script("classifier_augmentation").amounts(labels)
    totals = {name: [count + each[k] for k, count in enumerate((3, 1, 2))] for name, each in amounts.items()}
    assert totals == {"equal": [3, 3, 3], "twice": [6, 2, 4], "many": [15, 15, 15]}


@pytest.mark.parametrize("count", [5, 32, 50])
def test_a_classifier_sees_all_samples_equally_often(script, count):
    training = script("classifier_training")
    batches = training.epochs(count, 7)
    assert {len(rows) for rows in batches} == {min(training.BATCH, count)}
    seen = torch.cat(batches).bincount(minlength=count)
    assert seen.max() - seen.min() <= 1


@pytest.mark.parametrize("shape", [(4,), (3, 16, 16)])
def test_inputs_are_standardized_by_real_samples_and_plain_augmentation_keeps_their_shape(script, shape):
    training = script("classifier_training")
    x = 5 + 3 * torch.rand(40, *shape)
    inputs = training.Inputs(x)(x)
    axes = [0, *range(2, inputs.dim())]
    torch.testing.assert_close(inputs.mean(axes), torch.zeros(shape[0]), rtol=0, atol=1e-4)
    torch.testing.assert_close(inputs.std(axes), torch.ones(shape[0]), rtol=1e-4, atol=0)
    assert training.plain_augmentation(inputs).shape == inputs.shape
    assert training.network(tuple(inputs.shape[1:]), 3)(inputs).shape == (40, 3)
