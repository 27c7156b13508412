"""A sampler chosen on held-out patients, for all classes together."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.samplers.base import DensitySampler, Ranked, require_spread
from multimodal_vae.samplers.trial import Cohort, Trial, try_sampler, two_sample
from multimodal_vae.scopes import Seed, seeded

_CANDIDATES: Any = [
    "gaussian",
    {"name": "gmm", "components": 3},
    *({"name": "gmm", "components": count, "covariance": "full", "regularization": 0.05} for count in (3, 10, 30)),
]
MOST_RECOGNIZED = 0.65
"""Highest AUC of the attack on a density that does not memorize."""

_SLACK = 0.05
"""Excess over the lowest AUC that is allowed if all memorize, as with fewer latents in a class than dimensions."""


class Auto(DensitySampler):
    r"""The best of several samplers, chosen on held-out patients.

    Patients are divided into folds; each candidate is fitted per class to all other folds, and three quantities are
    measured:

    - the AUC of an attack that tells fitted from held-out latents by their distance to the nearest draw, among as many
      draws as there are fitted latents. A candidate *memorizes* if it is above 0.65: of a fitted and a held-out latent,
      the attack picks the fitted one two times out of three;
    - the AUC of a classifier that tells draws from held-out latents
      (:func:`~multimodal_vae.samplers.trial.two_sample`), which sees dependence between dimensions;
    - the mean log density of held-out latents.

    Among candidates that do not memorize, those with the smallest AUC of the classifier, up to its standard error, are
    equal, and of these the one with the highest log density is chosen. The likelihood alone prefers one Gaussian to
    mixtures that keep what binds the modalities of a sample. If all candidates memorize, those whose AUC of the attack
    is at most 0.05 above the lowest are compared.

    Args:
        candidates: samplers to choose from. A candidate that cannot be fitted to a class to which another can be fitted
            is not chosen. Default: one Gaussian; mixtures of 3 Gaussians with a common covariance, and of 3, 10 and 30
            with their own. No kernel density: it memorizes, or its kernels are wide where latents are not.
        folds: number of folds of whole patients; at most one per patient. With fewer than two patients, the first
            candidate is chosen.
        seed: seed of folds and draws.

    Source: test: Lopez-Paz and Oquab (2017), *Revisiting classifier two-sample tests*; attack: Chen et al. (2020),
        *GAN-Leaks*.

    Example:
        >>> part = Auto(candidates=["prior", "gaussian"])
        >>> part.prepare([torch.randn(50, 2) + 3]).name
        'gaussian'
    """

    choice: Tensor

    def __init__(
        self,
        candidates: Annotated[list[DensitySampler], Field(min_length=1)] = _CANDIDATES,
        folds: Annotated[int, Field(ge=2)] = 3,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        private = next((each.name for each in candidates if each.guarantee), None)
        if private:
            raise ConfigurationError(
                f"{self.name!r} chooses among samplers by the patients, which would void the guarantee of "
                f"{private!r}; use that alone"
            )
        self.candidates = candidates
        self.folds = folds
        self.seed = seed
        self.chosen: DensitySampler | None = None
        self.register_buffer("choice", None)

    def prepare(self, classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None = None) -> DensitySampler:
        """Return the chosen candidate with its ranking."""
        return self._choose(classes, groups)[1]

    def fit(self, latents: Tensor) -> Self:
        """Choose on the latents (N, D) of one class, each of a patient of its own, and fit the chosen sampler."""
        require_spread(latents, self.name)
        index, chosen = self._choose([latents], None)
        self.chosen = DensitySampler.of(chosen).fit(latents)
        self.discloses = self.chosen.discloses
        self.choice = torch.tensor(index)
        return self

    def forward(self) -> Distribution:
        """Return the fitted density of the chosen sampler."""
        if self.chosen is None:
            raise SamplerError(f"the sampler {self.name!r} has not been fitted")
        density: Distribution = self.chosen()
        return density

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Load the result of :meth:`state` and return self."""
        inner = {name.removeprefix(_INNER): x for name, x in state.items() if name.startswith(_INNER)}
        super().restore({name: x for name, x in state.items() if not name.startswith(_INNER)})
        choice = state.get("choice", torch.empty(0))
        if choice.numel() != 1 or not 0 <= int(choice) < len(self.candidates):
            raise SamplerError(f"the state of the sampler {self.name!r} names none of its candidates")
        self.chosen = DensitySampler.of(self.candidates[int(choice)]).restore(inner)
        self.discloses = self.chosen.discloses
        return self

    def _choose(self, classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None) -> tuple[int, DensitySampler]:
        """Return the index of the chosen candidate, and a copy of it that is prepared for all classes."""
        ranking = self._rank(classes, groups)
        best = best_of(ranking)
        prepared = DensitySampler.of(self.candidates[best]).prepare(classes, groups)
        chosen = DensitySampler.of(prepared)  # a copy, since a candidate may return itself
        chosen.ranking = [ranking[best], *sorted(ranking[:best] + ranking[best + 1 :], key=_order)]
        return best, chosen

    def _rank(self, classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None) -> list[Ranked]:
        """Try each candidate, in their order."""
        with seeded(self.seed):
            cohort = _cohort(classes, groups, self.folds)
        if cohort is None:
            return [{"sampler": each.configuration} for each in self.candidates]
        trials = []
        for candidate in self.candidates:
            with seeded(self.seed):
                trials.append(try_sampler(candidate, cohort))
        # A class may be too small in a fold and large enough as a whole.
        refused = [
            {label: reason for label in trial.failures if (reason := _refusal(candidate, cohort, label))}
            for candidate, trial in zip(self.candidates, trials, strict=True)
        ]
        possible = {label for label in range(len(classes)) if any(label not in each for each in refused)}
        failures = [next((why for label, why in each.items() if label in possible), None) for each in refused]
        untried = {
            label
            for trial, failure in zip(trials, failures, strict=True)
            if failure is None
            for label in trial.failures
        }
        rows = torch.tensor([label not in untried for label in cohort.labels.tolist()])
        return [
            _ranked(candidate, trial, cohort, rows) if failure is None else _failed(candidate, failure)
            for candidate, trial, failure in zip(self.candidates, trials, failures, strict=True)
        ]


_INNER = "chosen."
_MOST = 4096
"""Latents of a trial, so that its time is bounded; more only if the last patient has more."""


def _cohort(classes: Sequence[Tensor], groups: Sequence[Sequence[str]] | None, folds: int) -> Cohort | None:
    """Return the latents of random patients in folds that divide each class; None for fewer than two patients."""
    usable = [index for index, x in enumerate(classes) if len(x) > 1 and bool(torch.isfinite(x).all())]
    if not usable:
        return None
    latents = torch.cat([classes[index] for index in usable]).detach()
    labels = torch.tensor([label for label, index in enumerate(usable) for _ in classes[index]])
    owners = groups or [[f"{index}.{row}" for row in range(len(x))] for index, x in enumerate(classes)]
    patients = [patient for index in usable for patient in owners[index]]
    first = dict(zip(reversed(patients), reversed(labels.tolist()), strict=True))  # a class of each patient
    names = list(first)
    folds = min(folds, len(names))
    if folds < 2:
        return None
    place = dict(zip(names, torch.randperm(len(names)).tolist(), strict=True))
    by_class = sorted(names, key=lambda name: (first[name], place[name]))
    fold = {name: index % folds for index, name in enumerate(by_class)}
    places = torch.tensor([place[patient] for patient in patients])
    rows = (places <= places.sort().values[:_MOST][-1]).nonzero().flatten()
    kept = [patients[row] for row in rows.tolist()]
    return Cohort(latents[rows], labels[rows], kept, torch.tensor([fold[patient] for patient in kept]))


def _refusal(sampler: DensitySampler, cohort: Cohort, label: int) -> str | None:
    """Return why a sampler cannot be fitted to all latents of a class, or None if it can."""
    try:
        DensitySampler.of(sampler).fit(cohort.latents[cohort.labels == label])().log_prob(cohort.latents[:1])
    except SamplerError as error:
        return str(error)
    except NotImplementedError:
        return "its log density is not known"
    return None


def _failed(sampler: DensitySampler, failure: str) -> Ranked:
    return {"sampler": sampler.configuration, "failure": failure}


def _ranked(sampler: DensitySampler, trial: Trial, cohort: Cohort, rows: Tensor) -> Ranked:
    """Return the result of a trial on some latents, those of the classes that were tried with each sampler."""
    if not rows.any():
        return {"sampler": sampler.configuration}
    log_density = trial.log_density[rows]
    if not bool(log_density.isfinite().all()):
        return _failed(sampler, "the log density of a held-out latent is not finite")
    value, error = two_sample(cohort, trial.draws.where(rows[:, None], torch.nan))
    return {
        "sampler": sampler.configuration,
        "log_density": float(log_density.mean()),
        "two_sample": value,
        "standard_error": error,
        "membership": trial.membership,
        "memorizes": trial.membership > MOST_RECOGNIZED,
    }


def best_of(ranking: Sequence[Ranked]) -> int:
    """Return the index of the chosen sampler; if none was tried, of the first one that does not fail."""
    tried = [index for index, each in enumerate(ranking) if "two_sample" in each]
    if not tried:
        return next((index for index, each in enumerate(ranking) if "failure" not in each), 0)
    least = min(ranking[index]["membership"] for index in tried)
    limit = max(MOST_RECOGNIZED, least + _SLACK)
    honest = [index for index in tried if ranking[index]["membership"] <= limit]
    first = ranking[min(honest, key=lambda index: ranking[index]["two_sample"])]
    most = max(first["two_sample"], 0.5) + first["standard_error"]  # an AUC below chance is chance
    equal = [index for index in honest if ranking[index]["two_sample"] <= most]
    return max(equal, key=lambda index: ranking[index]["log_density"])


def _order(each: Ranked) -> tuple[bool, bool, float]:
    """Return the sort key of the samplers that were not chosen."""
    return "failure" in each, each.get("memorizes", False), each.get("two_sample", 0.0)
