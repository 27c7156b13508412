"""Log metrics and settings with MLflow, in a SQLite file on this machine."""

import logging
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from multimodal_vae.errors import ConfigurationError, RunError, one_line
from multimodal_vae.files import inside, read_json, write_json
from multimodal_vae.loggers.base import Logger

_telemetry = os.environ.get("MLFLOW_DISABLE_TELEMETRY")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it on import
try:
    from mlflow.entities import LifecycleStage, Metric, Param, RunStatus
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH
    from sqlalchemy import Engine, event
    from sqlalchemy.exc import SQLAlchemyError
finally:
    if _telemetry is None:
        del os.environ["MLFLOW_DISABLE_TELEMETRY"]
    else:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = _telemetry

_MAX_NAME_LENGTH = 250


class _RunFile(TypedDict):
    """Content of ``mlflow.json``: the MLflow run of a run folder."""

    run_id: str


class MLflow(Logger):
    """Log to an MLflow run in ``mlflow.db`` in the run's folder.

    ``mlflow ui --backend-store-uri sqlite:///runs/otitis/mlflow.db`` shows it. Settings become MLflow parameters such
    as ``training.epochs``. A character that MLflow allows in no name is replaced by its code point: ``[`` by ``_5b_``.
    A resumed training continues the MLflow run whose id is in ``mlflow.json``. A run that is closed before its last
    epoch gets the status KILLED, unless early stopping is on. Without a run folder and a store nothing is written.

    The logger contacts no server and disables MLflow's telemetry.

    Args:
        store: file that several runs share, in place of ``mlflow.db`` in each run's folder.
        experiment: name under which MLflow groups runs.

    Raises:
        ConfigurationError: if the store is an address, not a file.
    """

    def __init__(self, store: str | None = None, experiment: str = "multimodal_vae") -> None:
        if store is not None and "://" in store:
            raise ConfigurationError(
                f"logger 'mlflow': store must be the path of a file, not {store!r}; it contacts no server"
            )
        self.store, self.experiment = store, experiment

    def open(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        """Start an MLflow run, or continue the one that the folder names.

        Raises:
            RunError: if the store cannot be written.
        """
        self._store: Any = None
        if folder is None and self.store is None:
            return
        self._path = Path(self.store) if self.store else _own_store(Path(folder or ""))
        training = configuration["training"]
        self._last_epoch = 1 if training.get("early_stopping") else training.get("epochs", 1)
        with self._store_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._store = _open_store(self._path)
            self._run = self._resume(folder) or self._start(folder)
            self._log_settings(configuration)

    def rewind(self, step: int) -> None:
        """Delete the metrics that were logged after a step.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._store is None:
            return
        with self._store_errors(), self._store.ManagedSessionMaker() as session:
            for table in (SqlMetric, SqlLatestMetric):  # MLflow's own API deletes whole runs only
                session.query(table).filter(table.run_uuid == self._run, table.step > step).delete()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log one value per metric.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._store is None:
            return
        now = _milliseconds()
        metrics = [Metric(_valid_name(name), float(value), now, step) for name, value in values.items()]
        with self._store_errors():
            self._store.log_batch(self._run, metrics=metrics, params=[], tags=[])

    def close(self) -> None:
        """Set the run's final status and close the store.

        Raises:
            RunError: if the store cannot be written.
        """
        if self._store is None:
            return
        store, self._store = self._store, None
        try:
            with self._store_errors():
                finished = store.get_run(self._run).data.metrics.get("epoch", 0) >= self._last_epoch
                status = RunStatus.FINISHED if finished else RunStatus.KILLED
                store.update_run_info(self._run, status, _milliseconds(), None)
        finally:
            store.engine.dispose()

    def _resume(self, folder: Path | None) -> str | None:
        """Return the id of the MLflow run that the folder names, or None if there is none or it was deleted."""
        if folder is None or not inside(folder, "mlflow.json").exists():
            return None
        run_id = read_json(inside(folder, "mlflow.json"), _RunFile)["run_id"]
        try:
            if self._store.get_run(run_id).info.lifecycle_stage != LifecycleStage.ACTIVE:
                return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        self._store.update_run_info(run_id, RunStatus.RUNNING, None, None)
        return run_id

    def _start(self, folder: Path | None) -> str:
        known = self._store.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self._store.create_experiment(self.experiment)
        name = folder.resolve().name if folder else None
        run_id: str = self._store.create_run(experiment, "", _milliseconds(), [], name).info.run_id
        if folder:
            write_json(inside(folder, "mlflow.json"), {"run_id": run_id})
        return run_id

    def _log_settings(self, configuration: Mapping[str, Any]) -> None:
        """Log the settings that the run lacks: all of a new run, the rest of one that was killed in between."""
        present = self._store.get_run(self._run).data.params
        settings = ((_valid_name(name), str(value)[:MAX_PARAM_VAL_LENGTH]) for name, value in flat(configuration))
        missing = [Param(name, value) for name, value in settings if name not in present]
        for first in range(0, len(missing), MAX_PARAMS_TAGS_PER_BATCH):
            batch = missing[first : first + MAX_PARAMS_TAGS_PER_BATCH]
            self._store.log_batch(self._run, metrics=[], params=batch, tags=[])

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Turn errors of MLflow and its database into a RunError of one line."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise RunError(f"{self._path} cannot be used as an MLflow store: {one_line(error)}") from error


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings one by one, with dotted names; tables within a list are numbered.

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


def _valid_name(name: str) -> str:
    """Replace characters that MLflow refuses by their code points, so that different names stay different."""
    return re.sub(r"[^\w.\- ]", lambda match: f"_{ord(match[0]):x}_", name)[:_MAX_NAME_LENGTH]


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _own_store(folder: Path) -> Path:
    """Return the store in a run's folder; neither it nor a file that SQLite writes beside it may be a link."""
    for suffix in ("-journal", "-wal", "-shm"):
        inside(folder, f"mlflow.db{suffix}")
    return inside(folder, "mlflow.db")


def _open_store(path: Path) -> Any:
    """Open the store itself: MLflow's client would keep the file open until the process ends."""
    if not path.exists():
        _create_store(path)
    return SqlAlchemyStore(_address(path), _artifacts(path))


def _create_store(path: Path) -> None:
    """Create an empty store under a temporary name and link it, so that no process sees half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # nobody can put a link there before
    logger = logging.getLogger("mlflow.store.db.utils")  # reports each table that it creates
    level = logger.level
    logger.setLevel(logging.WARNING)
    event.listen(Engine, "connect", _skip_synchronization)
    try:
        SqlAlchemyStore(_address(temporary), _artifacts(path)).engine.dispose()
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:  # another process was first
            pass
        except OSError:  # a file system without links
            os.replace(temporary, path)
    finally:
        event.remove(Engine, "connect", _skip_synchronization)
        logger.setLevel(level)
        temporary.unlink(missing_ok=True)


def _skip_synchronization(connection: Any, _: Any) -> None:
    """Do not wait for the disk after each of the hundreds of steps that create a store."""
    connection.execute("PRAGMA synchronous = OFF")


def _address(path: Path) -> str:
    return f"sqlite:///{path.resolve().as_posix()}"


def _artifacts(path: Path) -> str:
    return str(path.resolve().with_name("mlartifacts"))
