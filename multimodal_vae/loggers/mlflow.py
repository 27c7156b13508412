"""Figures and settings as MLflow keeps them, in a file of this machine."""

import importlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from multimodal_vae.errors import ConfigurationError, RunError, one_line
from multimodal_vae.files import read_json, write_json
from multimodal_vae.loggers.base import Logger

_LONGEST_NAME = 250


class _Known(TypedDict):
    """Which run of the store is this run."""

    run_id: str


class MLflow(Logger):
    """A run of MLflow's in ``mlflow.db`` in the run's folder; needs the extra ``mlflow``.

    ``mlflow ui --backend-store-uri sqlite:///runs/otitis/mlflow.db`` shows it. The run's settings are its parameters,
    as ``training.epochs``. Letters that MLflow allows in no name are written as their number, ``[`` as ``_5b_``. A
    training that goes on after an interruption goes on in the same run, whose number is in ``mlflow.json``. Closed
    before the last epoch, a run counts as killed, unless early stopping may have ended it. Where there is neither a
    folder nor a store there is nothing to write.

    Nothing leaves this machine: no server is spoken to, and an MLflow that is imported here does not report its use.

    Args:
        store: a file that several runs share, in place of one in the run's folder.
        experiment: the name under which MLflow groups the run with others.

    Raises:
        ConfigurationError: if the store is the address of a server.
    """

    def __init__(self, store: str | None = None, experiment: str = "multimodal_vae") -> None:
        if store is not None and "://" in store:
            raise ConfigurationError(
                f"the logger 'mlflow' writes to this machine alone, so its store is the path of a file, not {store!r}"
            )
        self.store, self.experiment = store, experiment

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Begin a run of MLflow's, or go on with the one that the folder tells of.

        Raises:
            ConfigurationError: if MLflow is not installed.
            RunError: if the store cannot be written.
        """
        self._opened: Any = None
        if folder is None and self.store is None:
            return
        self._path = Path(self.store) if self.store else Path(folder or "") / "mlflow.db"
        training = configuration["training"]
        self._last = 1 if "early_stopping" in training else training["epochs"]
        _import()
        with self._told():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._opened = _open_store(self._path)
            self._run = self._resumed(folder) or self._begun(folder)
            self._describe(configuration)

    def rewind(self, step: int) -> None:
        """Take what was logged after a step out of the run.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._opened is None:
            return
        from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

        with self._told(), self._opened.ManagedSessionMaker() as session:
            for table in (SqlMetric, SqlLatestMetric):  # MLflow itself deletes whole runs only
                session.query(table).filter(table.run_uuid == self._run, table.step > step).delete()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each figure's curve.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._opened is None:
            return
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(_allowed(name), float(value), now, step) for name, value in values.items()]
        with self._told():
            self._opened.log_batch(self._run, metrics=metrics, params=[], tags=[])

    def close(self) -> None:
        """Say how the run ended, and let go of the file.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._opened is None:
            return
        from mlflow.entities import RunStatus

        store, self._opened = self._opened, None
        try:
            with self._told():
                ended = store.get_run(self._run).data.metrics.get("epoch", 0) >= self._last
                status = RunStatus.FINISHED if ended else RunStatus.KILLED
                store.update_run_info(self._run, status, time.time_ns() // 1_000_000, None)
        finally:
            store.engine.dispose()

    def _resumed(self, folder: Path | None) -> str | None:
        """The run that was begun before; None where there is none, or somebody deleted it."""
        if folder is None or not (folder / "mlflow.json").exists():
            return None
        from mlflow.entities import LifecycleStage, RunStatus
        from mlflow.exceptions import MlflowException

        run_id = read_json(folder / "mlflow.json", _Known)["run_id"]
        try:
            if self._opened.get_run(run_id).info.lifecycle_stage != LifecycleStage.ACTIVE:
                return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        self._opened.update_run_info(run_id, RunStatus.RUNNING, None, None)
        return run_id

    def _begun(self, folder: Path | None) -> str:
        known = self._opened.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self._opened.create_experiment(self.experiment)
        name = folder.resolve().name if folder else None
        run_id: str = self._opened.create_run(experiment, "", time.time_ns() // 1_000_000, [], name).info.run_id
        if folder:
            write_json(folder / "mlflow.json", {"run_id": run_id})
        return run_id

    def _describe(self, configuration: Mapping[str, Any]) -> None:
        """Keep the settings, those that are not yet there: a run may have been killed in the midst of it."""
        from mlflow.entities import Param
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

        there = self._opened.get_run(self._run).data.params
        settings = ((_allowed(name), str(value)[:MAX_PARAM_VAL_LENGTH]) for name, value in flat(configuration))
        missing = [Param(name, value) for name, value in settings if name not in there]
        for first in range(0, len(missing), MAX_PARAMS_TAGS_PER_BATCH):
            some = missing[first : first + MAX_PARAMS_TAGS_PER_BATCH]
            self._opened.log_batch(self._run, metrics=[], params=some, tags=[])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what MLflow and its database complain of into one line."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise RunError(f"{self._path} cannot be used as a store of MLflow's: {one_line(error)}") from error


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings one by one, their names joined by dots; those in lists have numbers for names.

    Example:
        >>> dict(flat({"training": {"epochs": 2, "loggers": [{"name": "jsonl"}]}, "classes": ["ill", "well"]}))
        {'training.epochs': 2, 'training.loggers.0.name': 'jsonl', 'classes': ['ill', 'well']}
    """
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield from flat({str(number): each for number, each in enumerate(value)}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _allowed(name: str) -> str:
    """A name that MLflow takes; numbers in place of letters, so that two names stay two."""
    return re.sub(r"[^\w.\- ]", lambda found: f"_{ord(found[0]):x}_", name)[:_LONGEST_NAME]


def _import() -> None:
    """Import MLflow as one that tells nobody: what it reports, it decides on being imported."""
    name = "MLFLOW_DISABLE_TELEMETRY"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    except ImportError as error:
        raise ConfigurationError(
            "the logger 'mlflow' needs MLflow with SQLAlchemy: pip install 'multimodal-vae[mlflow]'"
        ) from error
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _open_store(path: Path) -> Any:
    """The store itself: MLflow's client would keep it, open, for the rest of the process, under the file's name."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if not path.exists():
        _make_store(path)
    return SqlAlchemyStore(_address(path), _artifacts(path))


def _make_store(path: Path) -> None:
    """Make an empty store beside its place, so that none is found half made; another process may be first."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    chatter = logging.getLogger("mlflow.store.db.utils")  # of tables that it makes
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    event.listen(Engine, "connect", _hasten)
    try:
        SqlAlchemyStore(_address(beside), _artifacts(path)).engine.dispose()
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(beside, path)
    finally:
        event.remove(Engine, "connect", _hasten)
        chatter.setLevel(level)
        beside.unlink(missing_ok=True)


def _hasten(connection: Any, _: Any) -> None:
    """Let a database of hundreds of small steps be made without waiting for the disk after each."""
    connection.execute("PRAGMA synchronous = OFF")


def _address(path: Path) -> str:
    return f"sqlite:///{path.resolve().as_posix()}"


def _artifacts(path: Path) -> str:
    return str(path.resolve().with_name("mlartifacts"))
