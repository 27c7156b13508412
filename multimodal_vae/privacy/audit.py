"""The audit: everything that is measured of what a generator gives away, of whom, and what it comes to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.distances import nearest
from multimodal_vae.errors import DataError, SamplerError
from multimodal_vae.evaluation.bootstrap import interval
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.adversarial import adversarial
from multimodal_vae.privacy.attributes import guessed, risk
from multimodal_vae.privacy.closest import copies, distance_ratio, nearer, quantile
from multimodal_vae.privacy.density_ratio import density_ratio
from multimodal_vae.privacy.membership import Attack
from multimodal_vae.privacy.records import Records, require_disjoint
from multimodal_vae.privacy.result import PrivacyResult, Sizes, Who
from multimodal_vae.privacy.shift import blind
from multimodal_vae.privacy.spaces import Space, spaces
from multimodal_vae.privacy.verdict import Verdict, judge_findings

CLASS = "class"
"""What is guessed of every record: its class."""
MODEL = "model"
"""The space of what the model itself says."""
FEWEST = 10
"""Records of members, holdout and generated samples each, below which nothing is measured."""


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        sizes: of ``train``, ``fitted on`` (where that is not the training set), ``holdout`` and ``synthetic``.
        findings: every figure.
        verdict: what they come to, in words, and what they do not show.
    """

    sizes: Mapping[str, Sizes]
    findings: Sequence[PrivacyResult]
    verdict: Verdict

    def figure(self, measure: str, space: str, who: Who = "train") -> MetricResult:
        """One figure.

        Raises:
            DataError: if it was not measured.
        """
        for each in self.findings:
            if (each.measure, each.space, each.who) == (measure, space, who):
                return each.figure
        raise DataError(f"{measure!r} in {space!r} was not measured for {who!r}")

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "sizes": {name: each.to_dict() for name, each in self.sizes.items()},
            "findings": [each.to_dict() for each in self.findings],
            "verdict": self.verdict.to_dict(),
        }


def audit(
    train: Records,
    fitted_on: Records | None,
    holdout: Records,
    synthetic: Records,
    judges: Sequence[Judge] = (),
    components: int = 20,
    k: int = 5,
    most: int = 1000,
    resamples: int = 300,
    seed: int = 0,
) -> Audit:
    """Measure what generated samples and their model give away, of those they learned from.

    Members, holdout and generated samples are compared class by class in equal numbers, chosen by chance, so that
    nothing hangs on how common a class is or how large a set. Copies, and distances to the closest record, are
    looked for among all records; an attacker has all generated samples.

    Args:
        train: what the model was trained on.
        fitted_on: what the densities were fitted on; None where that is the training set.
        holdout: samples of other patients of the same kind, that nothing has learned from.
        synthetic: generated samples; best as many of each class as were learned from, or as many as are handed out.
        judges: whose features to take, trained apart; principal components where there is none for these modalities.
        components: how many principal components.
        k: neighbors that are asked for an attribute.
        most: records of a set that are compared, at most.
        resamples: of the bootstrap over patients.
        seed: of all that is drawn.

    Raises:
        DataError: if the holdout shares a patient with what was learned from, there are too few of a kind, or
            modalities differ.

    Example:
        >>> from multimodal_vae.evaluation.samples import LabeledSamples
        >>> draw = lambda: Records(LabeledSamples({"x": torch.randn(60, 3)}, torch.zeros(60, dtype=torch.int64)))
        >>> train, holdout = draw(), draw()
        >>> audit(train, None, holdout, train, resamples=20).figure("copies/exact", "data").value
        1.0
    """
    members: dict[Who, Records] = {"train": train}
    if fitted_on is not None:
        members["fitted on"] = fitted_on
    for what, records in members.items():
        require_disjoint(records, holdout, f"what it was {_VERB[what]}")
    for other in (*members.values(), synthetic):
        if set(other.samples.values) != set(holdout.samples.values):
            raise DataError(
                f"the modalities are {list(other.samples.values)} and {list(holdout.samples.values)}; give the same"
            )
    everyone = [*members.values(), holdout, synthetic]
    with_latents = all(each.latents is not None for each in everyone)
    fair = _common([*members.values(), holdout], most)
    pool = _joined([each.cut(fair, seed) for each in (*members.values(), holdout)], with_latents)
    where = spaces(pool, judges, components, seed)
    findings: list[PrivacyResult] = []
    for who, records in members.items():
        between = _Between(records, holdout, synthetic, k, most, resamples, seed)
        found = [(name, figure) for name, space in where.items() for figure in between.in_space(name, space)]
        found += [(MODEL, figure) for figure in between.of_model()]
        findings += [PrivacyResult(who, name, figure) for name, figure in found]
    sets: list[tuple[str, Records]] = [*members.items(), ("holdout", holdout), ("synthetic", synthetic)]
    sizes = {name: Sizes(len(each), len(set(each.groups))) for name, each in sets}
    return Audit(sizes, findings, judge_findings(findings, sizes))


_VERB = {"train": "trained on", "fitted on": "fitted on"}


class _Between:
    """One set of members against the holdout."""

    def __init__(
        self, members: Records, holdout: Records, synthetic: Records, k: int, most: int, resamples: int, seed: int
    ) -> None:
        counts = _common([members, holdout, synthetic], most)
        self.all_members, self.all_synthetic = members, synthetic
        # Another seed for each: equal data must not be cut to equal rows.
        self.members, self.others, self.synthetic = (
            each.cut(counts, seed + step) for step, each in enumerate((members, holdout, synthetic))
        )
        self.groups = [f"member {name}" for name in self.members.groups] + [f"other {n}" for n in self.others.groups]
        self.k, self.resamples, self.seed = k, resamples, seed
        self.bounds = partial(interval, resamples=resamples, seed=seed)

    def in_space(self, name: str, space: Space) -> Iterator[MetricResult]:
        """Every figure that is made of distances."""
        every_t, every_s = space(self.all_members), space(self.all_synthetic)
        t, h, s = (space(each) for each in (self.members, self.others, self.synthetic))
        yield from self._closest(s, h, every_t, every_s)
        yield self._nearer(s, t, h)
        yield self._adversarial(t, h, s)
        yield from self._attacked("distance", -nearest(t, every_s)[0][:, 0], -nearest(h, every_s)[0][:, 0])
        if not name.startswith("data"):  # no density is learned in thousands of dimensions
            with suppress(SamplerError):  # samples that are all equal have no density
                scores = density_ratio(t, h, every_s, self.members.groups, self.others.groups, self.seed)
                yield from self._attacked("density ratio", *scores)
        if name.startswith("features") and min(len(set(each.groups)) for each in (self.members, self.others)) >= FEWEST:
            seen = blind(t, h, self.groups, self.seed)
            yield from self._attacked("blind", seen.members, seen.others)
        for what in (CLASS, *sorted(set(self.all_synthetic.attributes) & set(self.members.attributes))):
            yield self._guessed(what, t, h, s)

    def of_model(self) -> Iterator[MetricResult]:
        """What the model itself says of each."""
        for name in self.members.scores:
            yield from self._attacked(name, self.members.scores[name], self.others.scores[name])

    def _closest(self, s: Tensor, h: Tensor, every_t: Tensor, every_s: Tensor) -> Iterator[MetricResult]:
        two = min(2, len(every_t))
        ours, theirs = nearest(s, every_t, two)[0], nearest(h, every_t, two)[0]
        yield MetricResult(
            "closest record",
            float(ours[:, 0].median()),
            "real",
            self.bounds(_median(ours[:, 0]), len(ours)),
            float(theirs[:, 0].median()),
            beside={"5th percentile": quantile(ours[:, 0], 0.05), "of holdout": quantile(theirs[:, 0], 0.05)},
        )
        ratio, usual = distance_ratio(ours), distance_ratio(theirs)
        beside = {"5th percentile": quantile(ratio, 0.05), "of holdout": quantile(usual, 0.05)}
        bounds = self.bounds(_median(ratio), len(ratio))
        yield MetricResult(
            "distance ratio", float(ratio.median()), "real", bounds, float(usual.median()), beside=beside
        )
        far = nearest(every_s, every_t)[0][:, 0]
        for kind, made, by_chance in zip(
            ("exact", "near"), copies(far, theirs[:, 0]), copies(theirs[:, 0], theirs[:, 0]), strict=True
        ):
            bounds = self.bounds(_mean(made), len(made))
            beside = {"samples": float(made.sum())}
            yield MetricResult(f"copies/{kind}", _share(made), "lower", bounds, _share(by_chance), beside=beside)

    def _nearer(self, s: Tensor, t: Tensor, h: Tensor) -> MetricResult:
        (to_t, of_t), (to_h, of_h) = ((far[:, 0], row[:, 0]) for far, row in (nearest(s, x) for x in (t, h)))
        closer = nearer(to_t, to_h)
        # What lies near one patient is drawn together: a patient met or not decides over all of it.
        whose = [self.groups[int(i if near else len(t) + j)] for near, i, j in zip(closer, of_t, of_h, strict=True)]
        bounds = self.bounds(_mean(closer), len(closer), whose)
        return MetricResult("nearer than holdout", float(closer.mean()), "real", bounds, 0.5)

    def _adversarial(self, t: Tensor, h: Tensor, s: Tensor) -> MetricResult:
        ours, theirs = adversarial(t, s), adversarial(h, s)
        # One row a real sample, then one a generated one, whose two answers belong together.
        n = len(t)
        groups = [*self.groups, *(f"synthetic {row}" for row in range(n))]

        def loss(rows: Tensor) -> float:
            first, second, third = (rows[(rows >= i * n) & (rows < (i + 1) * n)] - i * n for i in range(3))
            real = float(theirs.real[second].double().mean() - ours.real[first].double().mean())
            new = float(theirs.synthetic[third].double().mean() - ours.synthetic[third].double().mean())
            return 0.5 * (real + new)

        beside = {"members": ours.accuracy(), "holdout": theirs.accuracy()}
        bounds = self.bounds(loss, 3 * n, groups)
        return MetricResult("adversarial loss", loss(torch.arange(3 * n)), "real", bounds, 0.0, beside=beside)

    def _attacked(self, name: str, members: Tensor, others: Tensor) -> Iterator[MetricResult]:
        attack = Attack(members.double(), others.double(), self.groups)
        bounds = attack.auc_interval(self.resamples, self.seed)
        yield MetricResult(f"membership/{name}", attack.auc(), "real", bounds, 0.5)
        bounds = attack.true_positives_interval(0.01, self.resamples, self.seed)
        yield MetricResult(f"recognized/{name}", attack.true_positives(0.01), "lower", bounds, 0.01)

    def _guessed(self, what: str, t: Tensor, h: Tensor, s: Tensor) -> MetricResult:
        def of(records: Records) -> Tensor:
            return records.samples.labels if what == CLASS else records.attributes[what]

        truth = torch.cat([of(self.members), of(self.others)])
        found = torch.cat([guessed(x, s, of(self.synthetic), self.k) for x in (t, h)])

        def advantage(rows: Tensor) -> float:
            parts = [rows[rows < len(t)], rows[rows >= len(t)]]
            if not all(map(len, parts)):
                return float("nan")
            ours, theirs = (balanced_accuracy(found[part], truth[part]) for part in parts)
            return ours - theirs

        rows = torch.arange(len(truth))
        ours, theirs = (balanced_accuracy(found[part], truth[part]) for part in (rows[: len(t)], rows[len(t) :]))
        from_others = balanced_accuracy(guessed(t, h, of(self.others), self.k), of(self.members))
        bounds = self.bounds(advantage, len(rows), self.groups)
        beside = {"members": ours, "others": theirs, "from holdout": from_others, "risk": risk(ours, theirs)}
        return MetricResult(f"guessed/{what}", advantage(rows), "real", bounds, 0.0, beside=beside)


def _common(sets: Sequence[Records], most: int) -> dict[int, int]:
    """As many of each class as the smallest set has, and no more than ``most`` together."""
    held = [each.samples.counts() for each in sets]
    counts = {label: min(each.get(label, 0) for each in held) for label in held[0]}
    total = sum(counts.values())
    if total > most:
        counts = {label: count * most // total for label, count in counts.items()}
    if sum(counts.values()) < FEWEST:
        raise DataError(
            f"members, holdout and generated samples have {sum(counts.values())} of the same class in common; "
            f"{FEWEST} are needed of each"
        )
    return {label: count for label, count in counts.items() if count}


def _joined(sets: Sequence[Records], with_latents: bool) -> Records:
    values = {name: torch.cat([each.samples.values[name] for each in sets]) for name in sets[0].samples.values}
    latents = torch.cat([each.latents for each in sets if each.latents is not None]) if with_latents else None
    return Records(LabeledSamples(values, torch.cat([each.samples.labels for each in sets])), latents)


def _share(x: Tensor) -> float:
    return float(x.double().mean())


def _mean(x: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: float(x[rows].double().mean())


def _median(x: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: float(x[rows].median())
