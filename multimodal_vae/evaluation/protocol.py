"""All metrics of one generator, each with its value for real samples and for the Gaussian baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.checks import checked, require_finite
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.baseline import GaussianBaseline
from multimodal_vae.evaluation.bootstrap import Interval, Statistic, interval, mean_of, median_of
from multimodal_vae.evaluation.class_maps import map_differences
from multimodal_vae.evaluation.coherence import agreement, within_class_coherence, within_class_correlation
from multimodal_vae.evaluation.copying import closest_record
from multimodal_vae.evaluation.individuality import within_class
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.kernel_distance import kernel_distance
from multimodal_vae.evaluation.latent import cross_validated_labels
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.patch_classifier import LEAST_SIDE, patch_classifier
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.purity import purity
from multimodal_vae.evaluation.result import Aim, MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers, same_classes
from multimodal_vae.evaluation.sharpness import BANDS, energy, reproduced_energy
from multimodal_vae.evaluation.texture import patch_distances
from multimodal_vae.evaluation.translation import ridge_translation
from multimodal_vae.evaluation.two_sample import FOLDS, two_sample
from multimodal_vae.evaluation.utility import Utility, utility
from multimodal_vae.progress import track


@checked
def evaluate(
    train: LabeledSamples,
    held_out: LabeledSamples,
    generated: LabeledSamples,
    judges: Sequence[Judge],
    reconstructions: Mapping[str, Tensor] | None = None,
    embeddings: Tensor | None = None,
    references: Mapping[str, Tensor] | None = None,
    translations: Mapping[str, Tensor] | None = None,
    bands: Sequence[float] = BANDS,
    k: int = 5,
    components: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> list[MetricResult]:
    """Compute all metrics of generated samples, given as tensors.

    The same metrics of real samples and of the Gaussian baseline's samples serve as references. All sets are cut to
    equal numbers per class; for utility, to at most the number of training samples. Metrics of a set by itself
    (purity, coherence, copying) use the held-out samples as real ones, since judges may know the training samples;
    metrics of differences from the held-out samples use the training samples.

    Args:
        train: real samples that the generator was trained on.
        held_out: real samples of other patients, with their groups.
        generated: generated samples with their target labels.
        judges: one judge of all modalities and, for coherence, one of each modality; trained independently.
        reconstructions: reconstructions of the held-out samples, (N, *shape) per modality.
        embeddings: embeddings of the held-out samples, (N, latent_dim).
        references: the held-out samples without noise, if known.
        translations: held-out samples predicted from all their other modalities, (N, *shape) per modality.
        bands: edges of the frequency bands for sharpness, in cycles per element.
        k: rank of the neighbor that sets the size of a neighborhood.
        components: principal components of each judge's features used for coherence within classes.
        resamples: number of bootstrap resamples.
        seed: seed of all random choices.

    Returns:
        Results in a fixed order; metrics whose arguments are missing are left out.

    Raises:
        DataError: if no judge uses all modalities, if classes or modalities differ, or if reconstructions or
            embeddings are not finite.
    """
    names = list(train.values)
    outputs = {f"the decoder of modality {name!r}": x for name, x in (reconstructions or {}).items()}
    for part, x in (outputs | ({} if embeddings is None else {"the encoder": embeddings})).items():
        require_finite(x, part, DataError)
    for other in (held_out, generated):
        same_classes(train.labels, other.labels)
        if set(other.values) != set(names):
            raise DataError(f"the sets compared have the modalities {names} and {list(other.values)}; give the same")
    joint = next((judge for judge in judges if set(judge.modalities) == set(names)), None)
    if joint is None:
        raise DataError(f"no judge uses all of {names}; train one with train_judge")
    single = {judge.modalities[0]: judge for judge in judges if len(judge.modalities) == 1}
    bootstrap = partial(interval, resamples=resamples, seed=seed)
    baseline = GaussianBaseline(seed=seed).fit(train)

    counts = {c: min(each.counts()[c] for each in (train, held_out, generated)) for c in train.counts()}
    real, known, new = (each.subsample(counts, seed) for each in (held_out, train, generated))
    gaussian = baseline.sample(counts, seed)

    features = _Features.of(joint, train)
    testable = min(len(np.unique(group_numbers(each.groups, len(each)))) for each in (real, known, new)) >= 2 * FOLDS
    compare = partial(
        _comparison,
        real=real,
        features=features,
        energies={name: energy(x, bands) for name, x in real.values.items() if x.dim() > 2},
        bands=bands,
        k=k,
        bootstrap=bootstrap,
        seed=seed if testable else None,
    )
    pca = {
        name: JointPCA(components, seed).fit({name: judge.predict(train.values).features})
        for name, judge in single.items()
    }
    rate = partial(
        _rating, train=train, joint=joint, features=features, single=single, pca=pca, bootstrap=bootstrap, seed=seed
    )

    most = {c: min(train.counts()[c], generated.counts()[c]) for c in counts}
    useful = partial(utility, train, held_out=held_out, seed=seed)
    stages: list[Callable[[], list[MetricResult]]] = [
        lambda: _latent(held_out, embeddings, bootstrap, seed),
        lambda: _individuality(held_out, reconstructions, baseline, bootstrap),
        lambda: _translation(train, held_out, translations or {}, bootstrap),
        lambda: _with_references(compare(new), compare(known), compare(gaussian)),
        lambda: _reproduced(held_out, reconstructions, references or held_out.values, baseline, bands),
        lambda: _with_references(rate(new), rate(real), rate(gaussian)),
        lambda: _utility(
            useful(generated.subsample(most, seed)),
            useful(baseline.sample(most, seed + 1), trained_on=[name for _, name, _ in _USES]),
            held_out,
            bootstrap,
        ),
    ]
    return [result for stage in track(stages, "metrics") for result in stage()]


_Bootstrap = Callable[..., Interval]


@dataclass(frozen=True)
class _Value:
    """A metric of one set; its interval is computed only for the generated samples."""

    value: float
    aim: Aim = "real"
    interval: Callable[[], Interval] | None = None
    context: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Features:
    """A judge's features, centered and scaled to a mean variance of one over the training samples."""

    judge: Judge
    mean: Tensor
    scale: float

    @classmethod
    def of(cls, judge: Judge, train: LabeledSamples) -> Self:
        features = judge.predict(train.values).features.double()
        return cls(judge, features.mean(0), float(features.var(0).mean()) ** 0.5 or 1.0)

    def __call__(self, samples: LabeledSamples) -> Tensor:
        return (self.judge.predict(samples.values).features.double() - self.mean) / self.scale


def _with_references(
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
            context=each.context,
        )
        for name, each in new.items()
    ]


def _latent(
    held_out: LabeledSamples, embeddings: Tensor | None, bootstrap: _Bootstrap, seed: int
) -> list[MetricResult]:
    if embeddings is None:
        return []
    numbers = group_numbers(held_out.groups, len(held_out))
    fewest = min(len(np.unique(numbers[(held_out.labels == c).numpy()])) for c in held_out.counts())
    folds = max(2, min(5, fewest))
    in_latent, in_data = (
        cross_validated_labels(values, held_out.labels, held_out.groups, folds=folds, seed=seed)
        for values in ({"latent": embeddings}, held_out.values)
    )
    bounds = bootstrap(_accuracy(in_latent, held_out.labels), len(held_out), held_out.groups)
    value, real = (balanced_accuracy(labels, held_out.labels) for labels in (in_latent, in_data))
    return [MetricResult("latent/separability", value, "higher", bounds, real)]


def _individuality(
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor] | None,
    baseline: GaussianBaseline,
    bootstrap: _Bootstrap,
) -> list[MetricResult]:
    results = []
    projections = baseline.project(held_out.values) if reconstructions else {}
    for name, x in (reconstructions or {}).items():
        sums, linear = (within_class(held_out.values[name], y, held_out.labels) for y in (x, projections[name]))
        bounds = bootstrap(sums.r2, len(held_out), held_out.groups)
        results.append(MetricResult(f"individuality/{name}", sums.r2(), "higher", bounds, baseline=linear.r2()))
    return results


def _translation(
    train: LabeledSamples, held_out: LabeledSamples, translations: Mapping[str, Tensor], bootstrap: _Bootstrap
) -> list[MetricResult]:
    results = []
    for name, x in translations.items():
        linear = ridge_translation(train, held_out, name)
        sums, reference = (within_class(held_out.values[name], y, held_out.labels) for y in (x, linear))
        bounds = bootstrap(sums.r2, len(held_out), held_out.groups)
        results.append(MetricResult(f"translation/{name}", sums.r2(), "higher", bounds, baseline=reference.r2()))
    return results


def _comparison(
    new: LabeledSamples,
    real: LabeledSamples,
    features: _Features,
    energies: Mapping[str, Tensor],
    bands: Sequence[float],
    k: int,
    bootstrap: _Bootstrap,
    seed: int | None,
) -> dict[str, _Value]:
    """Return metrics of the difference from held-out samples, whose energies, (N, bands), are given by modality.

    Without a seed, no two-sample test is made.
    """
    values = {}
    for name, x in new.values.items():
        differences = map_differences(x, new.labels, real.values[name], real.labels).values()
        for what, each in zip(("mean", "spread"), zip(*differences, strict=True), strict=True):
            # No interval: resampling would only add to a difference that is never negative.
            values[f"fidelity/{what}/{name}"] = _Value(sum(each) / len(each), "lower")
    new_features, real_features = features(new), features(real)
    membership = neighbors(real_features, new_features, k)
    rows: dict[str, tuple[Tensor, Aim, Sequence[str] | None]] = {
        "precision": (membership.precise, "higher", new.groups),
        "recall": (membership.recalled, "higher", real.groups),
        "density": (membership.density, "real", new.groups),
        "coverage": (membership.covered, "higher", real.groups),
    }
    for what, (x, aim, groups) in rows.items():
        bounds = partial(bootstrap, mean_of(x), len(x), groups)
        values[f"fidelity/{what}"] = _Value(float(x.double().mean()), aim, bounds)

    def distance(chosen: Tensor) -> float:
        return kernel_distance(new_features, real_features[chosen])

    halves = partial(bootstrap, distance, len(real_features), real.groups, replace=False)
    values["fidelity/kernel distance"] = _Value(kernel_distance(new_features, real_features), "lower", halves)
    if seed is not None:
        test = two_sample(real, new, seed=seed)
        bounds = partial(bootstrap, test.auc, len(real), real.groups)
        values["fidelity/two-sample"] = _Value(test.auc(), "lower", bounds)
    for name, x in new.values.items():
        if x.dim() > 2:
            values |= _sharpness(name, energy(x, bands).mean(0), energies[name], bands, real, bootstrap)
            values |= _texture(name, new, real, bootstrap, seed)
    return values


def _sharpness(
    name: str, mean: Tensor, energies: Tensor, bands: Sequence[float], real: LabeledSamples, bootstrap: _Bootstrap
) -> dict[str, _Value]:
    """Return ratios of the mean energy of samples to that of real ones, (N, bands)."""
    values = {}
    for index, band in enumerate(_names_of(bands)):
        if float(energies[:, index].sum()) > 0:
            ratio = _ratio(float(mean[index]), energies[:, index])
            bounds = partial(bootstrap, ratio, len(energies), real.groups)
            values[f"sharpness/{name}/{band}"] = _Value(ratio(torch.arange(len(energies))), "real", bounds)
    return values


def _texture(
    name: str, new: LabeledSamples, real: LabeledSamples, bootstrap: _Bootstrap, seed: int | None
) -> dict[str, _Value]:
    """Return distances of patches per level and the AUC of a patch classifier; without a seed, no classifier's."""
    x, y = new.values[name], real.values[name]
    # No interval, as for class maps.
    distances = enumerate(patch_distances(x, y), start=1)
    values = {f"texture/distance/{name}/level {level}": _Value(each, "lower") for level, each in distances}
    if seed is not None and min(x.shape[2:]) >= LEAST_SIDE:
        scores = patch_classifier(y, x, real.groups, new.groups, seed=seed)
        bounds = partial(bootstrap, scores.auc, len(scores.real), scores.groups)
        values[f"texture/classifier/{name}"] = _Value(scores.auc(), "lower", bounds)
    return values


def _reproduced(
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor] | None,
    references: Mapping[str, Tensor],
    baseline: GaussianBaseline,
    bands: Sequence[float],
) -> list[MetricResult]:
    results = []
    projections = baseline.project(held_out.values) if reconstructions else {}
    for name, x in (reconstructions or {}).items():
        if x.dim() > 2:
            reference, original = references[name], held_out.values[name]
            shares, linear = (reproduced_energy(each, reference, bands) for each in (x, projections[name]))
            real = reproduced_energy(original, reference, bands) if original is not reference else None
            for index, band in enumerate(_names_of(bands)):
                if bool(torch.isfinite(shares[index])):
                    results.append(
                        MetricResult(
                            f"reproduced/{name}/{band}",
                            float(shares[index]),
                            "higher",
                            real=None if real is None else float(real[index]),
                            baseline=float(linear[index]),
                        )
                    )
    return results


def _rating(
    new: LabeledSamples,
    train: LabeledSamples,
    joint: Judge,
    features: _Features,
    single: Mapping[str, Judge],
    pca: Mapping[str, JointPCA],
    bootstrap: _Bootstrap,
    seed: int,
) -> dict[str, _Value]:
    """Return metrics of samples by themselves, without held-out ones to compare with."""
    labels = joint.predict(new.values).labels
    pure = purity(labels, new, train)
    spreads = {f"spread {name}": spread for name, spread in pure.spread.items()}
    bounds = partial(bootstrap, _accuracy(labels, new.labels), len(new), new.groups)
    values = {"purity": _Value(pure.purity, "higher", bounds, spreads)}

    outputs = {name: judge.predict(new.values) for name, judge in single.items()}
    for one, other in combinations(new.values, 2):
        pair = f"{one}+{other}"
        if not {one, other} <= set(outputs):
            continue
        first, second = outputs[one], outputs[other]
        same = (first.labels == new.labels) & (second.labels == new.labels)
        value = agreement(first.labels, second.labels, new.labels)
        bounds = partial(bootstrap, mean_of(same), len(new), new.groups)
        values[f"coherence/class/{pair}"] = _Value(value, "higher", bounds)
        scores = [pca[name].transform({name: outputs[name].features}) for name in (one, other)]
        value, shuffled = within_class_coherence(scores[0], scores[1], new.labels, new.groups, seed=seed).means()
        values[f"coherence/within class/{pair}"] = _Value(value, "real", context={"shuffled": shuffled})
        for cause in sorted(set(first.causes) & set(second.causes)):
            correlation = _correlation(first.causes[cause], second.causes[cause], new.labels)
            bounds = partial(bootstrap, correlation, len(new), new.groups)
            value = correlation(torch.arange(len(new)))
            values[f"coherence/cause {cause}/{pair}"] = _Value(value, "real", bounds)
    distance = closest_record(features(new), features(train))
    bounds = partial(bootstrap, median_of(distance), len(distance), new.groups)
    values["copying/closest record"] = _Value(float(distance.median()), "real", bounds)
    return values


_USES = (
    ("synthetic alone", "synthetic", "real"),
    ("real and synthetic", "both", "real"),
    ("a quarter and synthetic", "quarter and synthetic", "quarter"),
)
"""Metrics of utility: name, training set, and the training set of real samples that it is compared with."""


def _utility(result: Utility, baseline: Utility, held_out: LabeledSamples, bootstrap: _Bootstrap) -> list[MetricResult]:
    results = []
    for name, trained_on, reference in _USES:
        if trained_on not in result.predicted:
            continue
        bounds = bootstrap(partial(result.accuracy, trained_on), len(held_out), held_out.groups)
        value, real = result.accuracy(trained_on), result.accuracy(reference)
        results.append(MetricResult(f"utility/{name}", value, "higher", bounds, real, baseline.accuracy(trained_on)))
    return results


def _names_of(bands: Sequence[float]) -> list[str]:
    return [f"{low:g}-{high:g}" for low, high in pairwise(bands)]


def _accuracy(predicted: Tensor, labels: Tensor) -> Statistic:
    return lambda rows: balanced_accuracy(predicted[rows], labels[rows])


def _ratio(mean: float, energies: Tensor) -> Statistic:
    return lambda rows: mean / float(energies[rows].mean())


def _correlation(first: Tensor, second: Tensor, labels: Tensor) -> Statistic:
    return lambda rows: within_class_correlation(first[rows], second[rows], labels[rows])
