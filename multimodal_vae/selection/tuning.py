"""The search for better settings of a recipe, judged by validation patients only."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

import pydantic
from typing_extensions import TypedDict

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked
from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import (
    ConfigurationError,
    MultimodalVAEError,
    RunError,
    SamplerError,
    TrainingError,
    did_you_mean,
)
from multimodal_vae.evaluation.result import format_number, json_values
from multimodal_vae.files import inside, make_folder, read_json, require_vacant, write_bytes, write_json
from multimodal_vae.locks import LOCK, locked
from multimodal_vae.part import explain, plain
from multimodal_vae.progress import shown
from multimodal_vae.run import Run, fit, open_run
from multimodal_vae.search_space import DEFAULT, Range, read_space, with_settings
from multimodal_vae.selection.objectives import OBJECTIVES, Measures
from multimodal_vae.selection.patients import Cohort, for_run

RECIPE, TRIALS, RESULT, BEST = "tuning.toml", "trials.json", "tuning.json", "best.toml"
VERSION = 1
RANDOM = 5
"""Trials whose settings are drawn at random before those that the search learns from."""


class Trial(TypedDict):
    """One training with its settings.

    Attributes:
        run: name of its run folder.
        parameters: the search's number for each setting: a value of a range, or the index of a choice.
        settings: the settings by dotted name; none are the recipe's own.
        validation: measures on validation patients; none if the training failed.
        failure: why it failed.
        seconds: time of training and rating.
    """

    run: str
    parameters: dict[str, int | float]
    settings: dict[str, Any]
    validation: Measures
    failure: str
    seconds: float


class Result(TypedDict):
    """What a tuning came to.

    Attributes:
        version: version of the file.
        objective: what was maximized on the validation patients.
        best: the trial with the best score.
        defaults: the trial of the recipe as it was.
        test: measures on test patients of ``best`` and ``defaults``, computed once; empty without test patients.
        trials: all trials, in order.
    """

    version: int
    objective: str
    best: Trial
    defaults: Trial
    test: dict[str, Measures]
    trials: list[Trial]


@dataclass(frozen=True)
class _Tuning:
    """A tuning at work.

    Attributes:
        configuration: the recipe.
        space: choices or range of each setting.
        folder: the output folder.
        cohort: the samples.
        objective: name of the objective.
        seed: seed of the search.
    """

    configuration: Configuration
    space: Mapping[str, Any]
    folder: Path
    cohort: Cohort
    objective: str
    seed: int

    def recipe(self, settings: Mapping[str, Any]) -> Configuration:
        """Return the recipe with other settings."""
        try:
            return Configuration(**with_settings(plain(dict(self.configuration)), settings))
        except (ValueError, MultimodalVAEError) as error:
            raise ConfigurationError(f"[tune] {', '.join(settings)}: {error}") from error

    def run(self, name: str) -> Run:
        """Open the run of a trial with samples that may be used."""
        return open_run(inside(self.folder, name), self.cohort.known)

    def try_settings(self, number: int, parameters: dict[str, int | float], show: bool) -> Trial:
        """Train or resume a trial, and rate it on validation patients."""
        began = time.monotonic()
        settings = {name: _setting(self.space[name], value) for name, value in parameters.items()}
        trial = Trial(
            run=f"trial-{number}", parameters=parameters, settings=settings, validation={}, failure="", seconds=0.0
        )
        recipe, cohort = for_run(self.recipe(settings)), self.cohort
        try:
            vae = recipe.build(cohort.known.classes, cohort.known.covariate_types)
            fit(vae, cohort.train, cohort.validation, out=self.folder / trial["run"], configuration=recipe, show=show)
            rate = OBJECTIVES[self.objective]
            with shown() if show else nullcontext():
                measures = rate(self.run(trial["run"]), cohort.train, cohort.validation, self.seed)
            if math.isfinite(measures["score"]):
                trial["validation"] = measures
            else:
                trial["failure"] = f"the score is {measures['score']}"
        except (TrainingError, SamplerError) as error:  # as of a learning rate that is too high
            trial["failure"] = str(error)
        trial["seconds"] = round(time.monotonic() - began, 1)
        return trial

    def suggest(self, trials: Sequence[Trial]) -> dict[str, int | float]:
        """Return the parameters of the next trial, which depend on the seed and the results so far only."""
        optuna = _optuna()
        distributions = {name: _distribution(optuna, each) for name, each in self.space.items()}
        sampler = optuna.samplers.TPESampler(seed=self.seed + len(trials), n_startup_trials=RANDOM)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for trial in trials:
            if trial["parameters"]:
                state = optuna.trial.TrialState.COMPLETE if trial["validation"] else optuna.trial.TrialState.FAIL
                done = {"params": trial["parameters"], "distributions": distributions, "state": state}
                study.add_trial(optuna.trial.create_trial(value=trial["validation"].get("score"), **done))
        found: dict[str, int | float] = study.ask(distributions).params
        return found


@checked
def tune(
    configuration: Configuration,
    out: str | Path,
    minutes: float = 10.0,
    *,
    objective: str = "generation",
    data: MultimodalDataset | None = None,
    trials: int | None = None,
    seed: int = 0,
    show: bool = True,
) -> Result:
    """Search the settings of a recipe that are best on its validation patients; needs the extra ``tune`` (Optuna).

    The first trial is the recipe itself. Writes one run folder per trial, ``trials.json``, the best recipe
    (``best.toml``), and ``tuning.json``. The test patients of the recipe are looked at once, at the end, to measure the
    best trial and the recipe itself. Call it again to resume; once it is done, the result is only read.

    Args:
        configuration: the recipe. Its ``[tune]`` is the search space, by default
            :data:`~multimodal_vae.search_space.DEFAULT`.
        out: folder to create, or that of the same tuning to resume.
        minutes: budget. No trial begins that would not end in time if it took as long as those before; the first two
            always run.
        objective: ``"generation"``, see :func:`~multimodal_vae.selection.objectives.generation`, or ``"likelihood"``,
            the held-out log-likelihood.
        data: samples in memory. Default: those of the recipe's manifest.
        trials: maximum number of trials, the recipe itself included. Default: as many as the budget allows.
        seed: seed of the search and of the objective.
        show: whether to show progress.

    Raises:
        ConfigurationError: if Optuna is not installed, the recipe has no validation patients, or a setting is invalid.
        RunError: if the folder has other content, or every trial failed.
    """
    require_seed(seed)
    if objective not in OBJECTIVES:
        raise ConfigurationError(f"there is no objective {objective!r}; {did_you_mean(objective, OBJECTIVES)}")
    if minutes <= 0 or (trials is not None and trials < 1):
        raise ConfigurationError("a tuning needs more than 0 minutes and at least 1 trial")
    _optuna()
    folder = Path(out)
    try:
        space = read_space(configuration.tune or DEFAULT)
    except pydantic.ValidationError as error:
        raise ConfigurationError(f"[tune] {explain(error)}") from error
    with locked(folder):
        _begin(folder, configuration, objective, seed)
        if inside(folder, RESULT).exists():
            return read_json(inside(folder, RESULT), Result)
        if data is None:
            data = configuration.read_data(progress=None if show else False)
        configuration = configuration.settled(data)
        cohort = Cohort.of(configuration, data)
        if not len(cohort.validation):
            raise ConfigurationError("a tuning needs validation patients; set [data] split, such as [0.6, 0.2, 0.2]")
        work = _Tuning(configuration, space, folder, cohort, objective, seed)
        for name, each in space.items():  # before the first training
            for value in each if isinstance(each, list) else (each.low, each.high):
                work.recipe({name: value})
        done = _search(work, 60 * minutes, trials, show)
        return _conclude(work, done)


def _search(work: _Tuning, seconds: float, most: int | None, show: bool) -> list[Trial]:
    """Run trials until the budget is spent, and return them with those of before."""
    path = inside(work.folder, TRIALS)
    done = read_json(path, list[Trial]) if path.exists() else []
    while most is None or len(done) < most:
        spent = [trial["seconds"] for trial in done]
        if len(done) > 1 and sum(spent) + fmean(spent) > seconds:
            break
        done.append(work.try_settings(len(done), work.suggest(done) if done else {}, show))
        write_json(path, json_values(done))
    return done


def _conclude(work: _Tuning, trials: list[Trial]) -> Result:
    """Choose the best trial, look at the test patients for the first time, and write the result."""
    rated = [trial for trial in trials if trial["validation"]]
    if not rated:
        raise RunError(f"every trial in {work.folder} failed, the first so: {trials[0]['failure']}")
    best = max(rated, key=lambda trial: trial["validation"]["score"])
    test: dict[str, Measures] = {}
    if len(work.cohort.test):
        rate = OBJECTIVES[work.objective]
        for name, trial in (("best", best), ("defaults", trials[0])):
            if trial["validation"]:
                test[name] = rate(work.run(trial["run"]), work.cohort.train, work.cohort.test, work.seed)
    recipe = work.recipe(best["settings"]).model_copy(update={"tune": None})
    if recipe.data.manifest is not None:
        manifest = Path(os.path.relpath(recipe.data.manifest, work.folder.resolve()))
        recipe = recipe.with_data(manifest=manifest)
    write_bytes(inside(work.folder, BEST), recipe.to_toml().encode())
    result = Result(version=VERSION, objective=work.objective, best=best, defaults=trials[0], test=test, trials=trials)
    write_json(inside(work.folder, RESULT), json_values(result))
    return result


def summary(result: Result) -> str:
    """Return what a tuning came to, as a Markdown table and a sentence."""
    best, defaults = result["best"], result["defaults"]
    names = list(best["validation"])
    head = ["", *(f"validation {name}" for name in names), *(f"test {name}" for name in names)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key, trial in (("defaults", defaults), ("best", best)):
        test = result["test"].get(key, {})
        values = [trial["validation"].get(name) for name in names] + [test.get(name) for name in names]
        lines.append(f"| {key}, {trial['run']} | {' | '.join(format_number(value) for value in values)} |")
    if best is defaults or best["run"] == defaults["run"]:
        said = f"No other of {len(result['trials'])} trials is better than the recipe itself."
    else:
        settings = ", ".join(f"{name} = {value}" for name, value in best["settings"].items())
        said = f"Best of {len(result['trials'])} trials on the validation patients: {settings}."
    return "\n".join([*lines, "", said])


def _begin(folder: Path, configuration: Configuration, objective: str, seed: int) -> None:
    """Create the folder, or check that it is that of the same tuning."""
    path = inside(folder, RECIPE)
    recipe = f"# Objective: {objective}; seed: {seed}\n{configuration.to_toml()}".encode()
    if path.exists():
        if path.read_bytes() != recipe:
            raise RunError(f"{folder} has a tuning of another recipe, objective or seed; choose another folder")
        return
    require_vacant(folder, LOCK)
    make_folder(folder)
    write_bytes(path, recipe)


def _setting(each: Any, value: int | float) -> Any:
    return each[int(value)] if isinstance(each, list) else value


def _distribution(optuna: Any, each: list[Any] | Range) -> Any:
    if isinstance(each, list):
        return optuna.distributions.CategoricalDistribution(range(len(each)))
    kind = optuna.distributions.IntDistribution if each.whole else optuna.distributions.FloatDistribution
    return kind(each.low, each.high, log=each.log)


def _optuna() -> Any:
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise ConfigurationError("a tuning needs Optuna: pip install 'multimodal-vae[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
