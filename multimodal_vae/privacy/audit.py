"""The audit: all privacy metrics of a generator, and their verdict."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.checks import checked
from multimodal_vae.distances import nearest
from multimodal_vae.errors import DataError, SamplerError
from multimodal_vae.evaluation.bootstrap import interval, mean_of, median_of
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.result import MetricResult, json_values
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.adversarial import adversarial
from multimodal_vae.privacy.attributes import guess_attribute, risk
from multimodal_vae.privacy.closest import copies, distance_ratio, nearer, quantile
from multimodal_vae.privacy.control import control_attack
from multimodal_vae.privacy.density_ratio import density_ratio
from multimodal_vae.privacy.epsilon import DELTA, epsilon_lower_bound
from multimodal_vae.privacy.membership import Attack
from multimodal_vae.privacy.records import Records, require_disjoint
from multimodal_vae.privacy.result import DESCRIPTION, MODEL, Curve, PrivacyResult, Sizes, Verdict, Who
from multimodal_vae.privacy.shift import blind_attack
from multimodal_vae.privacy.spaces import Space, spaces
from multimodal_vae.privacy.verdict import WITHOUT_GENERATOR, judge_results
from multimodal_vae.progress import track

CLASS = "class"
"""Name of the attribute that is inferred for every record."""
_SPACES = {"shadows/distance": "data"}
"""Scores that concern the samples and not the model, with their space."""
OTHER_PATIENTS_NEEDED = ("density ratio", "blind", "control")
"""Attacks that compare with other patients of the audit, so that they give no bound on epsilon."""
MIN_RECORDS = 10
"""Members, holdout and generated samples that an audit needs, each."""


@dataclass(frozen=True)
class Audit:
    """Results of an audit.

    Attributes:
        sizes: sizes of the members, by what they are, and of ``holdout`` and ``synthetic``.
        results: all metrics.
        verdict: their meaning in words.
        curves: ROC curve of the strongest attack of each kind, over all spaces, by falling area.
    """

    sizes: Mapping[str, Sizes]
    results: Sequence[PrivacyResult]
    verdict: Verdict
    curves: Sequence[Curve] = ()

    def result(self, name: str, space: str, who: Who = "train") -> PrivacyResult:
        """Return one result.

        Raises:
            DataError: if it was not measured.
        """
        for each in self.results:
            if (each.name, each.space, each.who) == (name, space, who):
                return each
        raise DataError(f"{name!r} in {space!r} was not measured for {who!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; what is not finite is None."""
        return json_values(asdict(self))  # type: ignore[no-any-return]


@checked
def audit(
    members: Mapping[Who, Records],
    holdout: Records,
    synthetic: Records,
    judges: Sequence[Judge] = (),
    components: int = 20,
    k: int = 5,
    max_records: int = 1000,
    resamples: int = 300,
    seed: int = 0,
) -> Audit:
    """Measure what generated samples and their model reveal about the patients they learned from.

    Members, holdout and generated samples are compared in equal, randomly chosen numbers per class, so that class
    frequencies and set sizes have no influence. Copies and distances to the closest record use all records; the
    attacker has all generated samples.

    Args:
        members: records of the patients whose privacy is concerned, by what they are: ``train``, those that the model
            was trained on; ``fitted on``, those that the densities were fitted on, if they differ; ``members``, others.
        holdout: records of other patients from the same population.
        synthetic: generated samples; preferably as many per class as were learned from, or as many as are released.
        judges: independently trained judges whose features are used; principal components if there is none for a set
            of modalities.
        components: number of principal components.
        k: number of neighbors for attribute inference.
        max_records: maximum number of records compared per set.
        resamples: bootstrap resamples over patients.
        seed: seed of all random choices.

    Raises:
        DataError: if the holdout shares a patient with the members, there are too few records, or modalities differ.

    Example:
        >>> from multimodal_vae.evaluation.samples import LabeledSamples
        >>> draw = lambda: Records(LabeledSamples({"x": torch.randn(60, 3)}, torch.zeros(60, dtype=torch.int64)))
        >>> train, holdout = draw(), draw()
        >>> audit({"train": train}, holdout, train, resamples=20).result("copies/exact", "data").value
        1.0
    """
    for who, records in members.items():
        require_disjoint(records, holdout, DESCRIPTION[who])
    for other in (*members.values(), synthetic):
        if set(other.samples.values) != set(holdout.samples.values):
            raise DataError(
                f"the sets have the modalities {list(other.samples.values)} and {list(holdout.samples.values)}; "
                "give the same"
            )
    with_latents = all(each.latents is not None for each in (*members.values(), holdout, synthetic))
    counts = _common_counts([*members.values(), holdout], max_records)
    pool = _joined([each.subsample(counts, seed) for each in (*members.values(), holdout)], with_latents)
    by_name = spaces(pool, judges, components, seed)
    results: list[PrivacyResult] = []
    curves: list[Curve] = []
    for who, records in members.items():
        level = 1 - 0.05 / (len(by_name) + len(records.scores))  # all lower bounds on epsilon hold together
        comparison = _Comparison(records, holdout, synthetic, k, max_records, resamples, seed, level)
        measured = [
            (name, result)
            for name, space in track([*by_name.items()], "spaces")
            for result in comparison.in_space(name, space)
        ]
        measured += [(_SPACES.get(result.name.partition("/")[2], MODEL), result) for result in comparison.of_model()]
        results += [PrivacyResult(**vars(result), who=who, space=name) for name, result in measured]
        curves += [Curve(who, space, name, *attack.curve()) for (space, name), attack in comparison.strongest().items()]
    sets: list[tuple[str, Records]] = [*members.items(), ("holdout", holdout), ("synthetic", synthetic)]
    sizes = {name: Sizes(len(each), len(set(each.groups))) for name, each in sets}
    return Audit(sizes, results, judge_results(results, sizes), curves)


class _Comparison:
    """One set of members against the holdout; t, h and s are members, holdout and generated samples in a space."""

    def __init__(
        self,
        members: Records,
        holdout: Records,
        synthetic: Records,
        k: int,
        most: int,
        resamples: int,
        seed: int,
        level: float,
    ) -> None:
        counts = _common_counts([members, holdout, synthetic], most)
        self.all_members, self.all_synthetic = members, synthetic
        # Different seeds, so that equal sets are not cut to equal rows.
        self.members, self.others, self.synthetic = (
            each.subsample(counts, seed + step) for step, each in enumerate((members, holdout, synthetic))
        )
        self.groups = [f"member {name}" for name in self.members.groups] + [f"other {n}" for n in self.others.groups]
        self.k, self.resamples, self.seed, self.level = k, resamples, seed, level
        self.bounds = partial(interval, resamples=resamples, seed=seed)
        self.attacks: dict[tuple[str, str], Attack] = {}  # by space and name

    def in_space(self, name: str, space: Space) -> Iterator[MetricResult]:
        """Yield the metrics based on distances."""
        all_t, all_s = space(self.all_members), space(self.all_synthetic)
        t, h, s = (space(each) for each in (self.members, self.others, self.synthetic))
        yield from self._closest(s, h, all_t, all_s)
        yield self._nearer(s, t, h)
        yield self._adversarial(t, h, s)
        yield from self._attacked("distance", name, -nearest(t, all_s)[0][:, 0], -nearest(h, all_s)[0][:, 0])
        if not name.startswith("data"):  # densities cannot be fitted in thousands of dimensions
            with suppress(SamplerError):  # nor to samples that are all equal
                scores = density_ratio(t, h, all_s, self.members.groups, self.others.groups, self.seed)
                yield from self._attacked("density ratio", name, *scores)
        if min(len(set(each.groups)) for each in (self.members, self.others)) >= MIN_RECORDS:
            labels = self.members.samples.labels.tolist(), self.others.samples.labels.tolist()
            scores = control_attack(t, h, labels, (self.members.groups, self.others.groups), self.seed)
            yield from self._attacked("control", name, *scores)
            if name.startswith("features"):
                blind = blind_attack(t, h, self.groups, self.seed)
                yield from self._attacked("blind", name, blind.members, blind.others)
        for attribute in (CLASS, *sorted(set(self.all_synthetic.attributes) & set(self.members.attributes))):
            yield self._guessed(attribute, t, h, s)

    def of_model(self) -> Iterator[MetricResult]:
        """Yield the metrics based on the model's own outputs."""
        for name in self.members.scores:
            space = _SPACES.get(name, MODEL)
            yield from self._attacked(name, space, self.members.scores[name], self.others.scores[name])

    def strongest(self) -> dict[tuple[str, str], Attack]:
        """Return the strongest attack of each kind, by space and name; by falling area, without a generator last."""
        best: dict[str, tuple[str, str]] = {}
        for key in sorted(self.attacks, key=lambda key: (key[1] in WITHOUT_GENERATOR, -self.attacks[key].auc())):
            best.setdefault(key[1].partition("/")[0], key)
        return {key: self.attacks[key] for key in best.values()}

    def _closest(self, s: Tensor, h: Tensor, all_t: Tensor, all_s: Tensor) -> Iterator[MetricResult]:
        k = min(2, len(all_t))
        of_s, of_h = nearest(s, all_t, k)[0], nearest(h, all_t, k)[0]
        pairs = {
            "closest record": (of_s[:, 0], of_h[:, 0]),
            "distance ratio": (distance_ratio(of_s), distance_ratio(of_h)),
        }
        for name, (x, reference) in pairs.items():
            yield MetricResult(
                name,
                float(x.median()),
                "real",
                self.bounds(median_of(x), len(x)),
                float(reference.median()),
                context={"5th percentile": quantile(x, 0.05), "of holdout": quantile(reference, 0.05)},
            )
        distance = nearest(all_s, all_t)[0][:, 0]
        for kind, copied, by_chance in zip(
            ("exact", "near"), copies(distance, of_h[:, 0]), copies(of_h[:, 0], of_h[:, 0]), strict=True
        ):
            bounds = self.bounds(mean_of(copied), len(copied))
            context = {"samples": float(copied.sum())}
            value, real = (float(x.double().mean()) for x in (copied, by_chance))
            yield MetricResult(f"copies/{kind}", value, "lower", bounds, real, context=context)

    def _nearer(self, s: Tensor, t: Tensor, h: Tensor) -> MetricResult:
        (to_t, row_t), (to_h, row_h) = (
            (distance[:, 0], row[:, 0]) for distance, row in (nearest(s, x) for x in (t, h))
        )
        closer = nearer(to_t, to_h)
        # Samples near one patient form a group: whether that patient is a member decides about all of them.
        groups = [self.groups[int(i if near else len(t) + j)] for near, i, j in zip(closer, row_t, row_h, strict=True)]
        bounds = self.bounds(mean_of(closer), len(closer), groups)
        return MetricResult("nearer than holdout", float(closer.mean()), "real", bounds, 0.5)

    def _adversarial(self, t: Tensor, h: Tensor, s: Tensor) -> MetricResult:
        of_t, of_h = adversarial(t, s), adversarial(h, s)
        # Rows: members, holdout, generated samples; both answers for a generated sample belong together.
        n = len(t)
        groups = [*self.groups, *(f"synthetic {row}" for row in range(n))]

        def loss(rows: Tensor) -> float:
            first, second, third = (rows[(rows >= i * n) & (rows < (i + 1) * n)] - i * n for i in range(3))
            real = float(of_h.real[second].double().mean() - of_t.real[first].double().mean())
            new = float(of_h.synthetic[third].double().mean() - of_t.synthetic[third].double().mean())
            return 0.5 * (real + new)

        context = {"members": of_t.accuracy(), "holdout": of_h.accuracy()}
        bounds = self.bounds(loss, 3 * n, groups)
        return MetricResult("adversarial loss", loss(torch.arange(3 * n)), "real", bounds, 0.0, context=context)

    def _attacked(self, name: str, space: str, members: Tensor, others: Tensor) -> Iterator[MetricResult]:
        attack = self.attacks[space, name] = Attack(members.double(), others.double(), self.groups)
        bounds = attack.auc_interval(self.resamples, self.seed)
        yield MetricResult(f"membership/{name}", attack.auc(), "real", bounds, 0.5)
        bounds = attack.true_positive_interval(0.01, self.resamples, self.seed)
        yield MetricResult(f"recognized/{name}", attack.true_positive_rate(0.01), "lower", bounds, 0.01)
        if name not in OTHER_PATIENTS_NEEDED:
            epsilon, context = epsilon_lower_bound(attack, DELTA, self.level), {"delta": DELTA, "level": self.level}
            yield MetricResult(f"epsilon/{name}", epsilon, "lower", real=0.0, context=context)

    def _guessed(self, attribute: str, t: Tensor, h: Tensor, s: Tensor) -> MetricResult:
        def values_of(records: Records) -> Tensor:
            return records.samples.labels if attribute == CLASS else records.attributes[attribute]

        truth = torch.cat([values_of(self.members), values_of(self.others)])
        guesses = torch.cat([guess_attribute(x, s, values_of(self.synthetic), self.k) for x in (t, h)])

        def accuracies(rows: Tensor) -> tuple[float, float]:
            members, others = (
                balanced_accuracy(guesses[part], truth[part]) if len(part) else float("nan")
                for part in (rows[rows < len(t)], rows[rows >= len(t)])
            )
            return members, others

        def advantage(rows: Tensor) -> float:
            members, others = accuracies(rows)
            return members - others

        rows = torch.arange(len(truth))
        members, others = accuracies(rows)
        from_holdout = guess_attribute(t, h, values_of(self.others), self.k)
        context = {
            "members": members,
            "others": others,
            "from holdout": balanced_accuracy(from_holdout, values_of(self.members)),
            "risk": risk(members, others),
        }
        bounds = self.bounds(advantage, len(rows), self.groups)
        return MetricResult(f"guessed/{attribute}", members - others, "real", bounds, 0.0, context=context)


def _common_counts(sets: Sequence[Records], most: int) -> dict[int, int]:
    """Return the number per class that all sets have, scaled down to a total of at most ``most``."""
    of_sets = [each.samples.counts() for each in sets]
    counts = {label: min(each.get(label, 0) for each in of_sets) for label in of_sets[0]}
    total = sum(counts.values())
    if total > most:
        counts = {label: count * most // total for label, count in counts.items()}
    if sum(counts.values()) < MIN_RECORDS:
        raise DataError(
            f"members, holdout and generated samples share {sum(counts.values())} samples of the same classes; an "
            f"audit needs {MIN_RECORDS} of each"
        )
    return {label: count for label, count in counts.items() if count}


def _joined(sets: Sequence[Records], with_latents: bool) -> Records:
    values = {name: torch.cat([each.samples.values[name] for each in sets]) for name in sets[0].samples.values}
    latents = torch.cat([each.latents for each in sets if each.latents is not None]) if with_latents else None
    return Records(LabeledSamples(values, torch.cat([each.samples.labels for each in sets])), latents)
