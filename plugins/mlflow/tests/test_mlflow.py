import json
import math
import os
import subprocess
import sys
import tomllib

import pytest
import torch
from mlflow.tracking import MlflowClient

import multimodal_vae as mv
from multimodal_vae_mlflow import MLflow
from multimodal_vae_mlflow import logger as module
from multimodal_vae_mlflow.logger import flat

CONFIGURATION = {
    "training": {"epochs": 2, "loggers": [{"name": "mlflow"}, {"name": "jsonl"}]},
    "modalities": {"ecg, [II]": {"channels": 2}},
    "classes": ["ill", "well"],
    "long": "x" * 10_000,
}
VALUES = {"epoch": 1, "training.loss": 1.5, "training.reconstruction.ecg, [II]": 0.25, "machine.seconds": 0.125}
QUICK = {"epochs": 2, "per_class": 4, "device": "cpu", "show": False}


@pytest.fixture
def client(monkeypatch):
    """Return a function that opens a store with MLflow's own client."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    opened = []

    def read(path):
        opened.append(MlflowClient(f"sqlite:///{path}"))
        return opened[-1]

    yield read
    for each in opened:
        each._tracking_client.store.engine.dispose()


def only_run(client):
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return run


def points(client, run, name):
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]


def logged(logger, folder, begun, figures):
    logger.open(folder, CONFIGURATION)
    logger.rewind(begun)
    for step, value in figures.items():
        logger.log(step, {"epoch": value})
    logger.close()


def test_mlflow_reads_back_every_figure_and_setting(client, tmp_path):
    logger = MLflow()
    logger.open(tmp_path, CONFIGURATION)
    logger.log(10, VALUES)
    logger.log(20, VALUES | {"epoch": 2, "training.loss": math.nan})
    logger.close()
    found = client(tmp_path / "mlflow.db")
    run = only_run(found)
    assert run.info.run_name == tmp_path.name
    assert run.info.status == "FINISHED"
    assert found.get_experiment(run.info.experiment_id).name == "multimodal_vae"
    assert run.data.params == {
        "training.epochs": "2", "training.loggers.0.name": "mlflow", "training.loggers.1.name": "jsonl",
        "modalities.ecg_2c_ _5b_II_5d_.channels": "2", "classes": "['ill', 'well']", "long": "x" * 6000,
    }  # fmt: skip
    assert set(run.data.metrics) == {
        "epoch", "training.loss", "training.reconstruction.ecg_2c_ _5b_II_5d_", "machine.seconds",
    }  # fmt: skip
    assert points(found, run, "epoch") == [(10, 1), (20, 2)]
    first, second = points(found, run, "training.loss")
    assert first == (10, 1.5)
    assert math.isnan(second[1])


def test_more_settings_than_mlflow_takes_at_once_are_all_kept(client, tmp_path):
    many = {"training": {"epochs": 1}} | {f"setting {number}": number for number in range(250)}
    logger = MLflow()
    logger.open(tmp_path, many)
    logger.close()
    assert only_run(client(tmp_path / "mlflow.db")).data.params == {name: str(value) for name, value in flat(many)}


def test_a_training_that_goes_on_goes_on_in_the_same_run(client, tmp_path):
    logged(MLflow(), tmp_path, 0, {10: 1})
    before = only_run(client(tmp_path / "mlflow.db"))
    assert before.info.status == "KILLED"
    logged(MLflow(), tmp_path, 10, {20: 2})
    after = only_run(client(tmp_path / "mlflow.db"))
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert points(client(tmp_path / "mlflow.db"), after, "epoch") == [(10, 1), (20, 2)]


def test_what_was_logged_after_the_checkpoint_is_gone(client, tmp_path):
    logged(MLflow(), tmp_path, 0, {10: 1, 20: 9, 30: 9})
    logged(MLflow(), tmp_path, 10, {20: 1.5})
    found = client(tmp_path / "mlflow.db")
    assert points(found, only_run(found), "epoch") == [(10, 1), (20, 1.5)]
    assert only_run(found).data.metrics == {"epoch": 1.5}


def test_it_is_running_until_it_is_closed(client, tmp_path):
    logged(MLflow(), tmp_path, 0, {10: 2})
    logger = MLflow()
    logger.open(tmp_path, CONFIGURATION)
    assert only_run(client(tmp_path / "mlflow.db")).info.status == "RUNNING"
    logger.close()


def test_where_early_stopping_may_have_ended_it_it_counts_as_finished(client, tmp_path):
    stopping = {"training": {"epochs": 9, "early_stopping": {"metric": "validation.loss"}}}
    for epochs, status in ((0, "KILLED"), (1, "FINISHED")):
        logger = MLflow()
        logger.open(tmp_path, stopping)
        if epochs:
            logger.log(10, {"epoch": 1})
        logger.close()
        assert only_run(client(tmp_path / "mlflow.db")).info.status == status


def test_runs_share_a_store_and_each_finds_its_own_again(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for begun, figures in ((0, {10: 1}), (10, {20: 2})):
        for name in ("first", "second"):
            (tmp_path / name).mkdir(exist_ok=True)
            logged(MLflow(store="all/shared.db", experiment="ears"), tmp_path / name, begun, figures)
    found = client(tmp_path / "all/shared.db")
    ears = found.get_experiment_by_name("ears")
    assert ears.artifact_location.startswith(str(tmp_path / "all"))
    runs = found.search_runs([ears.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["first", "second"]
    assert all(points(found, run, "epoch") == [(10, 1), (20, 2)] for run in runs)
    assert not (tmp_path / "first/mlflow.db").exists()
    assert not (tmp_path / "mlruns").exists()


def test_a_run_whose_store_or_folder_was_deleted_begins_anew(client, tmp_path):
    logged(MLflow(), tmp_path, 0, {10: 1})
    old = json.loads((tmp_path / "mlflow.json").read_text())["run_id"]
    (tmp_path / "mlflow.db").unlink()
    logged(MLflow(), tmp_path, 10, {20: 2})
    found = client(tmp_path / "mlflow.db")
    assert points(found, only_run(found), "epoch") == [(20, 2)]
    assert only_run(found).info.run_id != old
    found.delete_run(only_run(found).info.run_id)
    logged(MLflow(), tmp_path, 20, {30: 2})
    assert points(found, only_run(found), "epoch") == [(30, 2)]


@pytest.mark.usefixtures("client")
def test_a_store_that_is_none_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database, as anybody sees " * 100)
    logger = MLflow()
    with pytest.raises(mv.RunError, match=r"mlflow\.db cannot be used as an MLflow store") as caught:
        logger.open(tmp_path, CONFIGURATION)
    assert "\n" not in str(caught.value)
    logger.close()


def test_a_store_that_another_process_made_meanwhile_is_kept(client, tmp_path, monkeypatch):
    make = module._create_store

    def be_late(path):
        monkeypatch.setattr(module, "_create_store", make)
        logged(MLflow(store=str(path)), None, 0, {10: 1})
        make(path)

    monkeypatch.setattr(module, "_create_store", be_late)
    logged(MLflow(store=str(tmp_path / "shared.db")), None, 0, {10: 2})
    found = client(tmp_path / "shared.db")
    runs = found.search_runs([found.get_experiment_by_name("multimodal_vae").experiment_id])
    assert sorted(run.data.metrics["epoch"] for run in runs) == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["shared.db"]


def test_where_files_have_no_links_a_store_is_made_all_the_same(client, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    logged(MLflow(), tmp_path, 0, {10: 2})
    assert only_run(client(tmp_path / "mlflow.db")).info.status == "FINISHED"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.json"]


def test_a_whole_training_is_there(client, tmp_path):
    labels = ["ill", "well"] * 6
    parts = {"blood": mv.Vector(size=3, hidden=8)}
    data = mv.MultimodalDataset.from_tensors({"blood": torch.randn(12, 3)}, labels, parts)
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0)
    mv.fit(vae, data, data, loggers=["jsonl", "mlflow"], out=tmp_path / "run", **QUICK)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text("utf-8").splitlines()]
    found = client(tmp_path / "run/mlflow.db")
    run = only_run(found)
    for name in lines[0].keys() - {"step"}:
        assert points(found, run, name) == [(line["step"], line[name]) for line in lines]
    assert run.data.metrics.keys() - lines[0].keys() == {"machine.seconds", "machine.threads", "machine.memory_gib"}
    settings = tomllib.loads((tmp_path / "run/config.toml").read_text("utf-8"))
    assert run.data.params == {name: str(value) for name, value in flat(settings)}


def test_it_speaks_to_nobody_and_leaves_no_trace_in_the_process(client, tmp_path):
    """In a new process, without settings that disable telemetry."""
    script = f"""
import logging, os, socket, sys, threading
def refuse(*_, **__): sys.exit("a connection was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
import multimodal_vae as mv
before = dict(os.environ), logging.getLogger().level, list(logging.getLogger().handlers), threading.active_count()
from multimodal_vae_mlflow import MLflow
logger = MLflow()
logger.open(Path({str(tmp_path)!r}), {{"training": {{"epochs": 1}}}})
logger.log(1, {{"epoch": 1}})
logger.close()
after = dict(os.environ), logging.getLogger().level, list(logging.getLogger().handlers), threading.active_count()
assert before == after, (before, after)
import mlflow
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
assert mlflow.active_run() is None
assert not mlflow.is_tracking_uri_set()
"""
    # MLflow sends no telemetry if one of these is set.
    quiet = {"MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"}
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(tmp_path / "home")}
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.json"]


@pytest.mark.parametrize("address", ["http://localhost:5000", "sqlite:///mlflow.db"])
def test_an_address_is_no_store(address):
    with pytest.raises(mv.ConfigurationError, match="the path of a file"):
        MLflow(store=address)
