"""All figures of one generator, each beside what real samples and the simplest rival reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.baseline import GaussianBaseline
from multimodal_vae.evaluation.bootstrap import Interval, interval
from multimodal_vae.evaluation.class_maps import map_differences
from multimodal_vae.evaluation.coherence import agreement, within_class_coherence, within_class_correlation
from multimodal_vae.evaluation.copying import closest_record
from multimodal_vae.evaluation.individuality import within_class
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.kernel_distance import kernel_distance
from multimodal_vae.evaluation.latent import cross_validated_labels
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.purity import purity
from multimodal_vae.evaluation.result import Aim, MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers, same_classes
from multimodal_vae.evaluation.sharpness import BANDS, energy, reproduced
from multimodal_vae.evaluation.utility import Utility, utility


def evaluate(
    train: LabeledSamples,
    held_out: LabeledSamples,
    generated: LabeledSamples,
    judges: Sequence[Judge],
    reconstructions: Mapping[str, Tensor] | None = None,
    embeddings: Tensor | None = None,
    references: Mapping[str, Tensor] | None = None,
    bands: Sequence[float] = BANDS,
    k: int = 5,
    components: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> list[MetricResult]:
    """Measure what a generator made, from arrays alone.

    Real samples and draws of the Gaussian baseline go through the same measures in the generated samples' place. For
    that, all are cut to the same number of each class; for utility, to no more than there are training samples.
    Measures that judge samples by themselves (purity, coherence, copying) take the held-out samples for real, since
    judges may know the training samples; those that compare with the held-out samples take the training samples.

    Args:
        train: real samples that the generator learned from.
        held_out: real samples of other patients, with their groups.
        generated: new samples; labels are the classes that were asked for.
        judges: one that looks at all modalities, and best one of each modality, without which there is no coherence;
            trained apart.
        reconstructions: of the held-out samples, (N, *shape) by modality.
        embeddings: of the held-out samples, (N, latent_dim).
        references: the held-out samples free of noise, where that is known.
        bands: edges of the bands of frequency in which sharpness is measured, in cycles per element.
        k: which neighbor bounds a neighborhood.
        components: how many principal components of each judge's features to look for coherence within a class in.
        resamples: of the bootstrap.
        seed: of all that is drawn.

    Returns:
        Figures, in a fixed order; what could not be asked for lack of an argument is left out.

    Raises:
        DataError: if no judge looks at all modalities, or the classes or modalities are not the same.
    """
    names = list(train.values)
    for other in (held_out, generated):
        same_classes(train.labels, other.labels)
        if set(other.values) != set(names):
            raise DataError(f"the modalities compared are {names} and {list(other.values)}; give the same")
    joint = next((judge for judge in judges if set(judge.modalities) == set(names)), None)
    if joint is None:
        raise DataError(f"no judge looks at all of {names}; train one with train_judge")
    single = {judge.modalities[0]: judge for judge in judges if len(judge.modalities) == 1}
    between = partial(interval, resamples=resamples, seed=seed)
    baseline = GaussianBaseline(seed=seed).fit(train)

    counts = {c: min(each.counts()[c] for each in (train, held_out, generated)) for c in train.counts()}
    real, known, new = (each.cut(counts, seed) for each in (held_out, train, generated))
    rival = baseline.sample(counts, seed)

    features = _Features.of(joint, train)
    compare = partial(_comparison, real=real, features=features, bands=bands, k=k, between=between)
    pca = {
        name: JointPCA(components, seed).fit({name: judge.read(train.values).features})
        for name, judge in single.items()
    }
    judged = partial(
        _by_itself, train=train, joint=joint, features=features, single=single, pca=pca, between=between, seed=seed
    )

    plenty = {c: min(train.counts()[c], generated.counts()[c]) for c in counts}
    useful = utility(train, generated.cut(plenty, seed), held_out, seed=seed)
    useful_rival = utility(train, baseline.sample(plenty, seed + 1), held_out, seed=seed)
    return [
        *_latent(held_out, embeddings, between, seed),
        *_individuality(held_out, reconstructions, baseline, between),
        *_beside(compare(new), compare(known), compare(rival)),
        *_reproduced(held_out, reconstructions, references or held_out.values, baseline, bands),
        *_beside(judged(new), judged(real), judged(rival)),
        *_utility(useful, useful_rival, held_out, between),
    ]


_Between = Callable[..., Interval]


@dataclass(frozen=True)
class _Value:
    """A figure without its context; the interval is worked out only where it is asked for."""

    value: float
    aim: Aim = "real"
    interval: Callable[[], Interval] | None = None
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Features:
    """A judge's features, centered and of mean variance one over the training samples: distances have a scale."""

    judge: Judge
    mean: Tensor
    scale: float

    @classmethod
    def of(cls, judge: Judge, train: LabeledSamples) -> Self:
        features = judge.read(train.values).features.double()
        return cls(judge, features.mean(0), float(features.var(0).mean()) ** 0.5 or 1.0)

    def __call__(self, samples: LabeledSamples) -> Tensor:
        return (self.judge.read(samples.values).features.double() - self.mean) / self.scale


def _beside(
    new: Mapping[str, _Value], real: Mapping[str, _Value], baseline: Mapping[str, _Value]
) -> list[MetricResult]:
    return [
        MetricResult(
            name,
            each.value,
            each.aim,
            each.interval() if each.interval else None,
            real[name].value,
            baseline[name].value,
            beside=each.beside,
        )
        for name, each in new.items()
    ]


def _latent(held_out: LabeledSamples, embeddings: Tensor | None, between: _Between, seed: int) -> list[MetricResult]:
    if embeddings is None:
        return []
    numbers = group_numbers(held_out.groups, len(held_out))
    fewest = min(len(np.unique(numbers[(held_out.labels == c).numpy()])) for c in held_out.counts())
    ask = partial(
        cross_validated_labels, labels=held_out.labels, groups=held_out.groups, folds=max(2, min(5, fewest)), seed=seed
    )
    in_latent, in_data = ask({"latent": embeddings}), ask(held_out.values)
    bounds = between(_accuracy(in_latent, held_out.labels), len(held_out), held_out.groups)
    value, real = (balanced_accuracy(labels, held_out.labels) for labels in (in_latent, in_data))
    return [MetricResult("latent/separability", value, "higher", bounds, real)]


def _individuality(
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor] | None,
    baseline: GaussianBaseline,
    between: _Between,
) -> list[MetricResult]:
    figures = []
    linear = baseline.project(held_out.values) if reconstructions else {}
    for name, x in (reconstructions or {}).items():
        ours, theirs = (within_class(held_out.values[name], y, held_out.labels) for y in (x, linear[name]))
        bounds = between(ours.r2, len(held_out), held_out.groups)
        figures.append(MetricResult(f"individuality/{name}", ours.r2(), "higher", bounds, baseline=theirs.r2()))
    return figures


def _comparison(
    new: LabeledSamples, real: LabeledSamples, features: "_Features", bands: Sequence[float], k: int, between: _Between
) -> dict[str, _Value]:
    """What is measured against held-out samples."""
    values = {}
    for name, x in new.values.items():
        differences = map_differences(x, new.labels, real.values[name], real.labels).values()
        for what, each in zip(("mean", "spread"), zip(*differences, strict=True), strict=True):
            # Without an interval: resampling adds to a difference that is never negative.
            values[f"fidelity/{what}/{name}"] = _Value(sum(each) / len(each), "lower")
    ours, theirs = features(new), features(real)
    found = neighbors(theirs, ours, k)
    rows: dict[str, tuple[Tensor, Aim, Sequence[str] | None]] = {
        "precision": (found.precise, "higher", new.groups),
        "recall": (found.recalled, "higher", real.groups),
        "density": (found.density, "real", new.groups),
        "coverage": (found.covered, "higher", real.groups),
    }
    for what, (x, aim, groups) in rows.items():
        bounds = partial(between, _mean(x), len(x), groups)
        values[f"fidelity/{what}"] = _Value(float(x.double().mean()), aim, bounds)

    def distance(chosen: Tensor) -> float:
        return kernel_distance(ours, theirs[chosen])

    halves = partial(between, distance, len(theirs), real.groups, replace=False)
    values["fidelity/kernel distance"] = _Value(kernel_distance(ours, theirs), "lower", halves)
    for name, x in new.values.items():
        if x.dim() > 2:
            values |= _sharpness(name, energy(x, bands).mean(0), energy(real.values[name], bands), bands, real, between)
    return values


def _sharpness(
    name: str, ours: Tensor, theirs: Tensor, bands: Sequence[float], real: LabeledSamples, between: _Between
) -> dict[str, _Value]:
    values = {}
    for index, band in enumerate(_named(bands)):
        if float(theirs[:, index].sum()) > 0:
            ratio = _ratio(float(ours[index]), theirs[:, index])
            bounds = partial(between, ratio, len(theirs), real.groups)
            values[f"sharpness/{name}/{band}"] = _Value(ratio(torch.arange(len(theirs))), "real", bounds)
    return values


def _reproduced(
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor] | None,
    references: Mapping[str, Tensor],
    baseline: GaussianBaseline,
    bands: Sequence[float],
) -> list[MetricResult]:
    figures = []
    linear = baseline.project(held_out.values) if reconstructions else {}
    for name, x in (reconstructions or {}).items():
        if x.dim() > 2:
            shares = [reproduced(each[name], references[name], bands) for each in (reconstructions or {}, linear)]
            known = held_out.values[name] is not references[name]
            real = reproduced(held_out.values[name], references[name], bands) if known else None
            for index, band in enumerate(_named(bands)):
                if bool(torch.isfinite(shares[0][index])):
                    ours, theirs = (float(share[index]) for share in shares)
                    seen = None if real is None else float(real[index])
                    figures.append(
                        MetricResult(f"reproduced/{name}/{band}", ours, "higher", real=seen, baseline=theirs)
                    )
    return figures


def _by_itself(
    new: LabeledSamples,
    train: LabeledSamples,
    joint: Judge,
    features: "_Features",
    single: Mapping[str, Judge],
    pca: Mapping[str, JointPCA],
    between: _Between,
    seed: int,
) -> dict[str, _Value]:
    """What is measured of samples without held-out ones to compare them with."""
    labels = joint.read(new.values).labels
    pure = purity(labels, new, train)
    beside = {f"spread {name}": spread for name, spread in pure.spread.items()}
    bounds = partial(between, _accuracy(labels, new.labels), len(new), new.groups)
    values = {"purity": _Value(pure.purity, "higher", bounds, beside)}

    readings = {name: judge.read(new.values) for name, judge in single.items()}
    for one, other in combinations(new.values, 2):
        pair = f"{one}+{other}"
        if not {one, other} <= set(readings):
            continue
        first, second = readings[one], readings[other]
        same = (first.labels == new.labels) & (second.labels == new.labels)
        value = agreement(first.labels, second.labels, new.labels)
        bounds = partial(between, _mean(same), len(new), new.groups)
        values[f"coherence/class/{pair}"] = _Value(value, "higher", bounds)
        scores = [pca[name].transform({name: readings[name].features}) for name in (one, other)]
        found = within_class_coherence(scores[0], scores[1], new.labels, new.groups, seed=seed)
        value, zero = found.means()
        values[f"coherence/within class/{pair}"] = _Value(value, "real", beside={"shuffled": zero})
        for cause in sorted(set(first.causes) & set(second.causes)):
            go_together = _correlation(first.causes[cause], second.causes[cause], new.labels)
            bounds = partial(between, go_together, len(new), new.groups)
            value = go_together(torch.arange(len(new)))
            values[f"coherence/cause {cause}/{pair}"] = _Value(value, "real", bounds)
    distance = closest_record(features(new), features(train))
    bounds = partial(between, _median(distance), len(distance), new.groups)
    values["copying/closest record"] = _Value(float(distance.median()), "real", bounds)
    return values


def _utility(ours: Utility, baseline: Utility, held_out: LabeledSamples, between: _Between) -> list[MetricResult]:
    figures = []
    for name, trained_on, alone in (
        ("synthetic alone", "synthetic", "real"),
        ("real and synthetic", "both", "real"),
        ("a quarter and synthetic", "quarter and synthetic", "quarter"),
    ):
        if trained_on not in ours.predicted:
            continue
        bounds = between(partial(ours.accuracy, trained_on), len(held_out), held_out.groups)
        value, real, rival = ours.accuracy(trained_on), ours.accuracy(alone), baseline.accuracy(trained_on)
        figures.append(MetricResult(f"utility/{name}", value, "higher", bounds, real, rival))
    return figures


def _named(bands: Sequence[float]) -> list[str]:
    return [f"{low:g}-{high:g}" for low, high in pairwise(bands)]


def _mean(x: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: float(x[rows].double().mean())


def _median(x: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: float(x[rows].median())


def _accuracy(predicted: Tensor, labels: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: balanced_accuracy(predicted[rows], labels[rows])


def _ratio(ours: float, theirs: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: ours / float(theirs[rows].mean())


def _correlation(first: Tensor, second: Tensor, labels: Tensor) -> Callable[[Tensor], float]:
    return lambda rows: within_class_correlation(first[rows], second[rows], labels[rows])
