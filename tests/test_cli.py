import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import multimodal_vae as mv
from multimodal_vae import registry


def refused(result, *words, code=2):
    status, out, err = result
    assert status == code, err
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("mmvae: ")
    assert "Traceback" not in err
    assert all(str(word) in err for word in words), err


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_plugins_lists_kind_name_distribution_and_version_of_every_part(mmvae):
    status, out, err = mmvae("plugins")
    assert (status, err) == (0, "")
    header, *rows = (line.split() for line in out.splitlines())
    assert header == ["kind", "name", "distribution", "version"]
    assert [tuple(row) for row in rows] == [
        (entry.kind, entry.name, entry.distribution, entry.version) for entry in registry.entries()
    ]


def test_plugins_check_says_how_each_part_is(mmvae, monkeypatch):
    said = {"kde": "no license"}
    monkeypatch.setattr(registry, "states_of", lambda entries: [said.get(each.name, "works") for each in entries])
    monkeypatch.setattr(registry, "unreadable_distributions", lambda: [])
    status, out, err = mmvae("plugins", "--check")
    assert (status, err) == (1, "")
    states = {line.split()[1]: line.split(maxsplit=4)[4] for line in out.splitlines()}
    assert states["name"] == "state"
    assert states["kde"] == "no license"
    assert states["gmm"] == "works"


def test_plugins_check_ends_well_where_only_strangers_or_what_may_not_load_are_broken(mmvae, monkeypatch):
    states = {"kde": registry.RESTRICTED}
    monkeypatch.setattr(registry, "states_of", lambda entries: [states.get(each.name, "works") for each in entries])
    for ours in (False, True):
        stranger = registry.UnreadableDistribution("stranger", "0.1", "its entry points cannot be read: why", ours)
        monkeypatch.setattr(registry, "unreadable_distributions", lambda stranger=stranger: [stranger])
        status, out, err = mmvae("plugins", "--check")
        assert (status, err) == (int(ours), "")
        assert out.splitlines()[-1].split(maxsplit=4) == ["-", "-", "stranger", "0.1", stranger.fault]


def test_plugins_shows_names_that_the_terminal_cannot(tmp_path):
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[multimodal_vae.fusions]\n中 = a:B\n", "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "latin-1"}
    code = "from multimodal_vae.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "plugins"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "\\u4e2d" in done.stdout
    assert "triplet" in done.stdout


def test_train_and_sample_from_end_to_end(mmvae, toml, tmp_path):
    run, new = tmp_path / "run", tmp_path / "new"
    status, out, err = mmvae("train", toml, "--out", run)
    assert status == 0
    assert out == f"trained: {run}\n"
    *epochs, weights = err.splitlines()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert weights.startswith("the model has the weights of epoch ")
    status, out, err = mmvae(
        "sample", run, "--label", "ill", "--count", 5, "--sampler", "gmm", "--seed", 3, "--out", new
    )
    assert (status, out, err) == (0, f"generated: {new}, ill 5\n", "")
    opened = mv.open_run(run)
    data = mv.MultimodalDataset.from_manifest(new / "manifest.csv", opened.configuration.modalities)
    assert len(data) == 5
    assert data.classes == ["ill"]
    provenance = json.loads((new / "provenance.json").read_text("utf-8"))
    assert provenance["run"] == str(run.resolve())
    assert provenance["sampler"]["name"] == "gmm"


def test_sample_without_a_label_takes_all_classes_and_the_runs_sampler(mmvae, trained, tmp_path):
    status, out, _ = mmvae("sample", trained, "--count", 2, "--out", tmp_path / "new")
    assert status == 0
    assert out == f"generated: {tmp_path / 'new'}, ill 2 well 2\n"
    assert json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))["sampler"]["name"] == "kde"


def test_sample_takes_a_temperature_a_quantile_and_a_noise(mmvae, trained, tmp_path):
    new = tmp_path / "new"
    settings = ("--temperature", 0, "--min-quantile", 0.25, "--noise", "mean")
    status, _, err = mmvae("sample", trained, "--label", "ill", "--count", 2, *settings, "--out", new)
    assert (status, err) == (0, "")
    provenance = json.loads((new / "provenance.json").read_text("utf-8"))
    assert (provenance["temperature"], provenance["min_quantile"], provenance["noise"]) == (0, 0.25, "mean")
    first, second = (new / "manifest.csv").read_text("utf-8").splitlines()[1:]
    assert first.split(",")[3] == second.split(",")[3]  # both are the class mean
    for setting, value in (("temperature", -1), ("min-quantile", 1)):
        wrong = mmvae("sample", trained, f"--{setting}", value, "--out", tmp_path / "other")
        refused(wrong, setting.replace("-", "_"), "give ")
    refused(mmvae("sample", trained, "--noise", "loud", "--out", tmp_path / "other"), "noise is 'loud'; give 'draw' or")


WITHOUT_EPSILON = "mmvae: note: private_gaussian is left out: sampler 'private_gaussian' needs the setting 'epsilon'\n"


def test_samplers_are_compared_by_held_out_likelihood(mmvae, trained):
    chosen = ("--sampler", "prior", "--sampler", '{name = "kde", bandwidth = 0.5}')
    status, out, err = mmvae("samplers", trained, *chosen, "--folds", 3, "--json")
    assert (status, err) == (0, "")
    first, second = json.loads(out)
    assert first["sampler"] == {"name": "prior"}
    assert second["sampler"]["bandwidth"] == 0.5
    run = mv.open_run(trained)
    assert first["classes"] == run.compare("prior", folds=3).classes
    status, out, err = mmvae("samplers", trained)
    assert (status, err) == (0, WITHOUT_EPSILON)
    assert {entry.name for entry in registry.entries("sampler")} - {"private_gaussian"} <= set(out.split())
    refused(mmvae("samplers", trained, "--split", "tests"), "'tests'")
    refused(mmvae("samplers", trained, "--sampler", "kd"), "did you mean 'kde'")


def test_a_sampler_that_lacks_its_extra_is_left_out_unless_it_is_named(mmvae, trained, monkeypatch):
    load = mv.DensitySampler.of

    def lacking(sampler):
        if sampler == "gmm":
            raise mv.ConfigurationError("it needs another package")
        return load(sampler)

    monkeypatch.setattr(mv.DensitySampler, "of", lacking)
    status, out, err = mmvae("samplers", trained)
    assert (status, err) == (0, "mmvae: note: gmm is left out: it needs another package\n" + WITHOUT_EPSILON)
    assert "gmm" not in out.split()
    refused(mmvae("samplers", trained, "--sampler", "gmm"), "another package")


def test_quiet_is_quiet_and_another_manifest_may_be_given(mmvae, toml, manifest, tmp_path):
    other = manifest.rename(manifest.parent / "other.csv")
    status, out, err = mmvae("train", toml, "--out", tmp_path / "run", "--manifest", other, "--quiet")
    assert (status, out, err) == (0, f"trained: {tmp_path / 'run'}\n", "")
    assert mv.open_run(tmp_path / "run").configuration.data.manifest == other


def test_a_configuration_that_is_not_there(mmvae, tmp_path):
    refused(mmvae("train", tmp_path / "none.toml", "--out", tmp_path / "run"), tmp_path / "none.toml")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 2", "epoch = 2", ["[training]", "did you mean 'epochs'"]),
        ("epochs = 2", "early_stopping = {patienc = 2}", ["[training.early_stopping]", "did you mean 'patience'"]),
        ("hidden = 8", "hiden = 8", ["did you mean 'hidden'"]),
        ('name = "vector"', 'name = "vektor"', ["did you mean 'vector'"]),
        ("[modalities.photo]", "[modalities.phot]", ["manifest.csv", "'phot'", "did you mean 'photo'"]),
        ("size = 3", "size = 4", ["manifest.csv, line 2", "(3,)", "(4,)"]),
        ("split = [0.5, 0.17, 0.33]", "split = [0.5, 0.17, 0.5]", ["fractions", "sum to 1"]),
        ("split = [0.5, 0.17, 0.33]", 'split = "given"', ["no split"]),
        ("split = [0.5, 0.17, 0.33]", 'classes = ["ill"]', ["manifest.csv, line 3", "unknown class 'well'"]),
        ('"manifest.csv"', '"manifests.csv"', ["no manifest", "manifests.csv"]),
        ('device = "cpu"', 'device = "abacus"', ["'abacus'"]),
    ],
)
def test_a_mistake_in_the_configuration(mmvae, toml, tmp_path, old, new, words):
    change(toml, old, new)
    refused(mmvae("train", toml, "--out", tmp_path / "run"), *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("s3,p3,well", "s3,p3,wel", ["line 5", "unknown class 'wel'", "did you mean 'well'"]),
        ("pictures/3.png", "pictures/none.png", ["line 5", "'s3'", "pictures/none.png", "no such file"]),
        ("s3,p3", "s2,p3", ["line 5", "'s2'", "line 4"]),
    ],
)
def test_a_mistake_in_the_manifest(mmvae, toml, manifest, tmp_path, old, new, words):
    change(toml, "[data]", '[data]\nclasses = ["ill", "well"]')
    change(manifest, old, new)
    refused(mmvae("train", toml, "--out", tmp_path / "run"), manifest, *words)
    assert not (tmp_path / "run").exists()


def test_a_place_that_is_taken(mmvae, toml, trained, tmp_path):
    refused(mmvae("train", toml, "--out", trained), trained, "another configuration", "[data] manifest was")
    refused(mmvae("train", toml, "--out", tmp_path), tmp_path, "already exists")
    refused(mmvae("sample", trained, "--out", tmp_path), tmp_path, "already exists")


def test_an_unknown_label(mmvae, trained, tmp_path):
    result = mmvae("sample", trained, "--label", "il", "--out", tmp_path / "new")
    refused(result, "no class 'il'", "did you mean 'ill'")
    assert not (tmp_path / "new").exists()


def test_an_unknown_sampler(mmvae, trained, tmp_path):
    refused(mmvae("sample", trained, "--sampler", "gmn", "--out", tmp_path / "new"), "did you mean 'gmm'")


def test_what_is_no_run(mmvae, tmp_path):
    refused(mmvae("sample", tmp_path / "none", "--out", tmp_path / "new"), tmp_path / "none", "not a run folder")


def test_a_damaged_model(mmvae, trained, tmp_path):
    (trained / "model.safetensors").write_bytes(b"garbage")
    refused(mmvae("sample", trained, "--out", tmp_path / "new"), trained / "model.safetensors")


def test_data_that_has_changed(mmvae, trained, tmp_path):
    manifest = trained.parent / "cohort" / "manifest.csv"
    manifest.write_text(manifest.read_text("utf-8").replace(",ill,", ",well,", 1), "utf-8")
    refused(mmvae("sample", trained, "--sampler", "gmm", "--out", tmp_path / "new"), "has changed")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian"]),
        (["train"], ["issing argument"]),
        (["train", "a.toml"], ["--out"]),
        (["sample", "run", "--out", "new", "--count", "0"], ["--count", "1"]),
        (["sample", "run", "--out", "new", "--seed", "-1"], ["--seed"]),
        (["sample", "run", "--out", "new", "--coutn", "3"], ["--coutn", "--count"]),
    ],
)
def test_a_mistake_on_the_command_line(mmvae, arguments, words):
    refused(mmvae(*arguments), *words)


@pytest.mark.parametrize("command", [[], ["sample"], ["plugins"]])
def test_help_shows_how(mmvae, command):
    status, out, err = mmvae(*command, "--help")
    assert (status, err) == (0, "")
    assert ("Example:\n    mmvae" in out) == bool(command)


def test_mmvae_alone_shows_the_help_in_lines(mmvae):
    _, out, err = mmvae()
    assert "Usage" in out + err
    assert len((out + err).splitlines()) > 5


def test_an_interruption_before_training_is_one_line(mmvae, toml, tmp_path, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(mv.Configuration, "read_data", interrupt)
    refused(mmvae("train", toml, "--out", tmp_path / "run"), "interrupted", code=1)


def test_ctrl_c_while_training_keeps_weights_that_open(toml, tmp_path):
    change(toml, "epochs = 2", "epochs = 100000\nearly_stopping = false")
    process = subprocess.Popen(
        [sys.executable, "-c", "from multimodal_vae.cli import main; main()", "train", toml, "--out", tmp_path / "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        first, *_ = [process.stderr.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert first.startswith("epoch 1/100000")
    assert process.returncode == 1
    assert out == ""
    said = [line for line in err.splitlines() if not line.startswith("epoch ")]
    assert len(said) == 1, err
    assert said[0].startswith("mmvae: training was interrupted after ")
    assert str(tmp_path / "run") in said[0]
    run = mv.open_run(tmp_path / "run")
    assert run.status["state"] == "interrupted"
    assert run.status["epochs_done"] >= 1
    assert run.synthesizer().sample("ill", 2)["photo"].isfinite().all()


def test_sampling_from_an_interrupted_run_says_so(mmvae, trained, tmp_path):
    change(trained / "status.json", '"done"', '"interrupted"')
    change(trained / "status.json", '"epochs": 2', '"epochs": 9')
    status, _, err = mmvae("sample", trained, "--count", 1, "--out", tmp_path / "new")
    assert status == 0
    assert len(err.splitlines()) == 1
    assert "interrupted after 2 of 9 epochs" in err


@pytest.fixture
def asked(mmvae, toml, manifest, tmp_path):
    """A run whose fusion takes any subset, and a manifest with two empty cells."""
    change(toml, "latent_dim = 4", 'latent_dim = 4\nfusion = "poe"')
    change(toml, "epochs = 2", "epochs = 1")
    status, _, err = mmvae("train", toml, "--out", tmp_path / "run", "--quiet")
    assert (status, err) == (0, "")
    gaps = manifest.parent / "gaps.csv"
    gaps.write_text(re.sub(r"pictures/[35]\.png", "", manifest.read_text("utf-8")), "utf-8")
    return tmp_path


def test_encode_writes_mean_and_log_variance_of_whatever_samples_have(mmvae, asked):
    out = asked / "latents.npz"
    status, said, err = mmvae("encode", asked / "run", asked / "cohort" / "gaps.csv", "--out", out)
    assert (status, said, err) == (0, f"encoded: {out}, 24 samples\n", "")
    run = mv.open_run(asked / "run")
    posterior = run.model.encode(run.read(asked / "cohort" / "gaps.csv"))
    with np.load(out, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["label", "logvar", "mean", "patient_id", "sample_id"]
        assert np.array_equal(arrays["mean"], posterior.mean.numpy())
        assert np.array_equal(arrays["logvar"], posterior.logvar.numpy())
        assert arrays["label"][:3].tolist() == ["ill", "well", "ill"]
    refused(mmvae("encode", asked / "run", asked / "cohort" / "gaps.csv", "--out", out), out, "already exists")
    other = asked / "other.npz"
    wrong = mmvae("encode", asked / "run", asked / "cohort" / "gaps.csv", "--given", "photo", "--out", other)
    refused(wrong, asked / "cohort" / "gaps.csv", "'s3' has none of the modalities ['photo']")
    wrong = mmvae("encode", asked / "run", asked / "cohort" / "gaps.csv", "--given", "phot", "--out", other)
    refused(wrong, "no modality 'phot'", "did you mean 'photo'")
    assert not other.exists()


def test_classify_gives_probabilities_as_a_table(mmvae, asked):
    command = ("classify", asked / "run", asked / "cohort" / "gaps.csv", "--prior", "uniform", "--sampler", "gaussian")
    status, out, err = mmvae(*command, "--given", "blood")
    assert (status, err) == (0, "")
    header, *rows = csv.reader(out.splitlines())
    assert header == ["sample_id", "label", "predicted", "p(ill)", "p(well)"]
    run = mv.open_run(asked / "run")
    latents = run.model.embed(run.read(asked / "cohort" / "gaps.csv").only("blood"))
    expected = run.synthesizer("gaussian").classify(latents, "uniform")
    assert [[float(cell) for cell in row[3:]] for row in rows] == pytest.approx(expected.numpy(), rel=1e-5)
    assert [row[2] for row in rows] == [("ill", "well")[index] for index in expected.argmax(1).tolist()]
    status, said, err = mmvae(*command, "--given", "blood", "--out", asked / "p.csv")
    assert (status, said, err) == (0, f"classified: {asked / 'p.csv'}, 24 samples\n", "")
    assert list(csv.reader((asked / "p.csv").read_text("utf-8").splitlines())) == [header, *rows]
    refused(
        mmvae("classify", asked / "run", asked / "cohort" / "gaps.csv", "--prior", "even"),
        "no prior 'even'",
        "frequency",
    )


def test_translate_tells_one_modality_from_all_others(mmvae, asked):
    new = asked / "new"
    command = ("translate", asked / "run", asked / "cohort" / "gaps.csv", "--to", "photo", "--draws", 2, "--seed", 3)
    status, out, err = mmvae(*command, "--out", new)
    assert (status, out, err) == (0, f"translated: {new}, 24 samples, 2 of each\n", "")
    assert len(list((new / "photo").iterdir())) == 48
    provenance = json.loads((new / "provenance.json").read_text("utf-8"))
    assert (provenance["run"], provenance["given"]) == (str((asked / "run").resolve()), ["blood"])
    assert (provenance["draws"], provenance["seed"]) == (2, 3)
    wrong = mmvae("translate", asked / "run", asked / "cohort" / "gaps.csv", "--to", "phot", "--out", asked / "other")
    refused(wrong, "no modality 'phot'", "did you mean 'photo'")


def test_complete_fills_empty_cells(mmvae, asked):
    new = asked / "new"
    status, out, err = mmvae("complete", asked / "run", asked / "cohort" / "gaps.csv", "--out", new)
    assert (status, out, err) == (0, f"completed: {new}, photo 2\n", "")
    data = mv.open_run(asked / "run").read(new / "manifest.csv")
    assert data.present.all()
    assert sum(map(bool, data.metadata["origin"])) == 2
    (asked / "cohort" / "gaps.csv").write_text("sample_id,label,photo,blood\na,ill,,1 2 3\nb,ill,,\n", "utf-8")
    wrong = mmvae("complete", asked / "run", asked / "cohort" / "gaps.csv", "--out", asked / "other")
    refused(wrong, asked / "cohort" / "gaps.csv", "line 3", "'b' has no modality")
    assert not (asked / "other").exists()


def test_interpolate_goes_from_one_sample_to_another(mmvae, asked):
    new = asked / "new"
    command = ("interpolate", asked / "run", asked / "cohort" / "gaps.csv", "s0")
    status, out, err = mmvae(*command, "s3", "--steps", 3, "--out", new)
    assert (status, out, err) == (0, f"interpolated: {new}, 3 samples\n", "")
    assert sorted(path.name for path in (new / "photo").iterdir()) == [f"s0-s3-{step}.png" for step in (1, 2, 3)]
    refused(mmvae(*command, "s33", "--out", asked / "other"), asked / "cohort" / "gaps.csv", "no sample 's33'")


def test_a_model_that_needs_every_modality_cannot_complete(mmvae, toml, tmp_path):
    toml.write_text(toml.read_text("utf-8").replace("[model]", '[model]\nfusion = "concat"'), "utf-8")
    assert mmvae("train", toml, "--out", tmp_path / "run", "--quiet")[0] == 0
    gaps = toml.parent / "gaps.csv"
    gaps.write_text("sample_id,label,photo,blood\na,ill,,1 2 3\n", "utf-8")
    wrong = mmvae("complete", tmp_path / "run", gaps, "--out", tmp_path / "new")
    refused(wrong, gaps, "line 2", "lacks 'photo'", "dropout")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is full")
def test_an_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from multimodal_vae.cli import main; main()", "plugins"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "mmvae: the output cannot be written: No space left on device\n")


def test_the_version_is_shown_and_the_module_is_the_command(mmvae):
    said = f"mmvae {mv.__version__}\n"
    assert mmvae("--version") == (0, said, "")
    module = [sys.executable, "-m", "multimodal_vae", "--version"]
    assert subprocess.run(module, capture_output=True, text=True, check=True).stdout == said


def test_every_command_is_summed_up_in_one_whole_line(mmvae):
    lines = mmvae("--help")[1].partition("Commands:")[2].splitlines()
    assert len(lines) > 15
    assert not [line for line in lines if line.endswith("...")]
