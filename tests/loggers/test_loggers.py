import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import multimodal_vae as mv

CONFIGURATION = {"training": {"epochs": 3}}
VALUES = {
    "epoch": 2, "training.loss": 1.5, "training.reconstruction.ecg": 0.25, "training.kl": 2.0, "training.metric": 0.0,
    "validation.loss": 3.0, "machine.seconds": 0.125, "machine.memory_gib": 0.5,
}  # fmt: skip
QUICK = {"epochs": 2, "per_class": 4, "device": "cpu", "out": None}


class Recorder(mv.Logger):
    """Record calls in the class, because instances are copied."""

    calls: ClassVar[list[tuple[Any, ...]]] = []

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        self.calls.append(("open", folder, configuration["training"]["epochs"]))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.calls.append(("log", step, dict(values)))

    def close(self) -> None:
        self.calls.append(("close",))


class Printer(Recorder):
    displays_progress = True


@pytest.fixture(autouse=True)
def _clean():
    Recorder.calls.clear()


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_lines_of_json_keep_every_figure_and_the_machine_s_apart(tmp_path):
    logger = mv.JSONLines()
    logger.open(tmp_path, CONFIGURATION)
    logger.log(10, VALUES)
    logger.log(20, VALUES | {"epoch": 3})
    logger.close()
    first, second = lines(tmp_path / "log.jsonl")
    assert first == {"step": 10, **{key: value for key, value in VALUES.items() if "machine" not in key}}
    assert second == first | {"step": 20, "epoch": 3}
    assert lines(tmp_path / "timing.jsonl") == [
        {"step": step, "machine.seconds": 0.125, "machine.memory_gib": 0.5} for step in (10, 20)
    ]


def test_without_a_folder_lines_of_json_go_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logger = mv.JSONLines()
    logger.open(None, CONFIGURATION)
    logger.log(10, VALUES)
    assert not list(tmp_path.iterdir())


def test_the_console_says_a_line_an_epoch_on_standard_error(capfd):
    logger = mv.Console()
    logger.open(None, CONFIGURATION)
    logger.log(10, VALUES)
    without = {key: value for key, value in VALUES.items() if not key.startswith(("validation.", "machine."))}
    logger.log(20, without | {"epoch": 3})
    out, err = capfd.readouterr()
    assert out == ""
    first, second = err.splitlines()
    figures = "loss 1.5000, ecg 0.2500, KL 2.0000, metric 0.0000"
    assert first.startswith(f"epoch 2/3: {figures} | validation loss 3.0000 | ")
    assert second.startswith(f"epoch 3/3: {figures} | ")
    assert "validation" not in second
    assert first.endswith("batches/s in float32 | 0.50 GiB")
    assert second.endswith("batches/s in float32")


def test_the_console_shows_a_loss_of_one_term_once(capfd):
    logger = mv.Console()
    logger.open(None, CONFIGURATION)
    for epoch, scan in ((2, 0.5), (3, 0.25)):
        term = {f"{split}.refinement.scan": scan for split in ("training", "validation")}
        logger.log(10, {"epoch": epoch, "training.loss": 0.5, "validation.loss": 0.5, **term})
    equal, weighted = capfd.readouterr().err.splitlines()
    assert equal.startswith("epoch 2/3: loss 0.5000 | validation loss 0.5000 | ")
    figures = "loss 0.5000, refinement.scan 0.2500"
    assert weighted.startswith(f"epoch 3/3: {figures} | validation {figures} | ")


@pytest.mark.parametrize(("epochs", "last"), [(3, 3), (20, 20), (100, 100), (1000, 777), (100_000, 40_000)])
def test_a_long_training_has_few_lines_with_its_first_and_last_epoch(epochs, last, capfd):
    logger = mv.Console()
    logger.open(None, {"training": {"epochs": epochs}})
    for epoch in range(1, last + 1):
        logger.log(10 * epoch, {"epoch": epoch, "training.loss": 1.0})
    logger.close()
    logger.close()
    told = [int(line.split("/")[0].removeprefix("epoch ")) for line in capfd.readouterr().err.splitlines()]
    assert told[0] == 1
    assert told[-1] == last
    assert told[:3] == [1, 2, 3]
    assert told == list(range(1, last + 1)) if epochs <= 20 else len(told) <= 40
    assert told == sorted(set(told))


def test_on_a_terminal_the_console_is_silent(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich assume a terminal
    logger = mv.Console()
    logger.open(None, CONFIGURATION)
    logger.log(10, VALUES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("show", [False, True])
def test_a_logger_hears_opening_each_epoch_and_closing(make_data, make_model, tmp_path, show):
    data = make_data()
    mv.fit(make_model(data), data, loggers=[Printer()], show=show, **QUICK | {"out": tmp_path / "run"})
    if not show:
        assert Recorder.calls == []
        return
    begin, first, second, end = Recorder.calls
    assert (begin, end) == (("open", tmp_path / "run", 2), ("close",))
    assert [first[2]["epoch"], second[2]["epoch"]] == [1, 2]
    assert second[1] == 2 * first[1]
    assert first[2].keys() >= {"training.loss", "training.kl", "machine.seconds"}


def test_what_a_logger_hears_is_what_the_run_keeps(make_data, make_model, tmp_path):
    data = make_data()
    mv.fit(make_model(data), data, data, loggers=[Recorder(), "jsonl"], show=False, **QUICK | {"out": tmp_path / "run"})
    heard = [{"step": step, **values} for _, step, values in Recorder.calls[1:-1]]
    kept = [
        a | b for a, b in zip(*(lines(tmp_path / "run" / name) for name in ("log.jsonl", "timing.jsonl")), strict=True)
    ]
    assert heard == kept


def test_a_logger_is_closed_however_the_training_ends(make_data, make_model):
    class Failing(Recorder):
        def log(self, step: int, values: Mapping[str, float]) -> None:
            raise RuntimeError("the disk is full")

    data = make_data()
    with pytest.raises(RuntimeError, match="the disk is full"):
        mv.fit(make_model(data), data, loggers=[Failing(), Recorder()], show=False, **QUICK)
    assert [call[0] for call in Recorder.calls] == ["open", "open", "close", "close"]


class Stuck(Recorder):
    def close(self) -> None:
        super().close()
        raise OSError("the disk is full")


def test_a_logger_that_fails_to_close_keeps_no_other_from_it_and_costs_no_weights(make_data, make_model, tmp_path):
    data = make_data()
    with pytest.raises(OSError, match="the disk is full"):
        mv.fit(make_model(data), data, loggers=[Stuck(), Recorder()], show=False, **QUICK | {"out": tmp_path / "run"})
    assert [call[0] for call in Recorder.calls].count("close") == 2
    assert mv.open_run(tmp_path / "run", data, parts=[Stuck, Recorder]).model


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_reads_back_every_figure(tmp_path):
    logger = mv.TensorBoard()
    logger.open(tmp_path, CONFIGURATION)
    logger.log(10, VALUES)
    logger.log(20, VALUES | {"epoch": 3})
    logger.close()
    found = curves(tmp_path / "tensorboard")
    assert set(found) == {name.replace(".", "/", 1) for name in VALUES}
    assert found["training/reconstruction.ecg"] == [(10, 0.25), (20, 0.25)]
    assert found["epoch"] == [(10, 2.0), (20, 3.0)]


def test_tensorboard_passes_over_what_was_logged_after_the_checkpoint(tmp_path):
    for begun, values in ((0, {10: 1.0, 20: 2.0}), (10, {20: 5.0, 30: 6.0})):
        logger = mv.TensorBoard()
        logger.open(tmp_path, CONFIGURATION)
        logger.rewind(begun)
        for step, value in values.items():
            logger.log(step, {"epoch": value})
        logger.close()
    assert curves(tmp_path / "tensorboard")["epoch"] == [(10, 1.0), (20, 5.0), (30, 6.0)]


def test_without_tensorboard_the_logger_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    logger = mv.TensorBoard()
    logger.open(tmp_path, CONFIGURATION)
    with pytest.raises(mv.ConfigurationError, match=r"pip install 'multimodal-vae\[tensorboard\]'"):
        logger.log(1, VALUES)
    logger.close()
