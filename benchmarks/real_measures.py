"""The metrics of the benchmark in docs/benchmark.md, by the package's own evaluation."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from real_sets import Real
from torch import Tensor

from multimodal_vae.evaluation.copying import closest_record
from multimodal_vae.evaluation.individuality import WithinClass, within_class
from multimodal_vae.evaluation.judge import train_judge
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.purity import purity
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.two_sample import two_sample
from multimodal_vae.evaluation.utility import utility


@dataclass(frozen=True)
class Fitted:
    """What a method does after its training; None: it does not.

    Attributes:
        sample: returns new samples, given their number per class and a seed.
        translate: predicts one modality from the samples of all others.
        classify: returns the labels of samples of some modalities.
        seconds: CPU seconds of its training.
        notes: what was chosen.
    """

    sample: Callable[[Mapping[int, int], int], LabeledSamples] | None = None
    translate: Callable[[Mapping[str, Tensor], str], Tensor] | None = None
    classify: Callable[[Mapping[str, Tensor]], Tensor] | None = None
    seconds: float = 0.0
    notes: Mapping[str, object] = field(default_factory=dict)


class Bench:
    """Metrics of one split of a data set.

    Args:
        real: the data.
        seed: of judges, draws and folds.
    """

    def __init__(self, real: Real, seed: int) -> None:
        self.real, self.seed = real, seed
        self.train, self.test = real.train, real.test
        classes = [str(label) for label in self.train.counts()]
        self.judge = train_judge(self.train, classes, seed=seed)
        self.pca = JointPCA(64, seed).fit(self.train.values)
        scores = self.pca.transform(self.train.values)
        self.center, self.scale = scores.mean(0), float(scores.var(0).mean()) ** 0.5

    def features(self, samples: LabeledSamples) -> Tensor:
        """Return principal components, scaled to a mean variance of one over the training samples."""
        return (self.pca.transform(samples.values) - self.center) / self.scale

    def measure(self, fitted: Fitted) -> dict[str, float]:
        """Return all metrics of a method."""
        results: dict[str, float] = {}
        if fitted.sample:
            results |= self.generation(fitted.sample(self.train.counts(), self.seed))
        if fitted.translate:
            results |= self.translation(fitted.translate)
        if fitted.classify:
            results |= self.classification(fitted.classify)
        return results

    def generation(self, new: LabeledSamples) -> dict[str, float]:
        """Return the metrics of as many new samples per class as there are for training."""
        useful = utility(self.train, new, self.test, seed=self.seed)
        results = {"tstr": useful.accuracy("synthetic"), "trtr": useful.accuracy("real")}
        return results | self.comparison(new) | self.rating(new)

    def comparison(self, new: LabeledSamples) -> dict[str, float]:
        """Return metrics of the difference from held-out samples, with equally many of both per class."""
        counts = {c: min(each.counts().get(c, 0) for each in (self.test, new)) for c in self.test.counts()}
        held_out, new = (each.subsample(counts, self.seed) for each in (self.test, new))
        found = neighbors(self.features(held_out), self.features(new)).metrics()
        chosen = {name: found[name] for name in ("precision", "recall", "coverage")}
        return {**chosen, "c2st": two_sample(held_out, new, seed=self.seed).auc()}

    def rating(self, new: LabeledSamples) -> dict[str, float]:
        """Return metrics of samples by themselves; of test samples if given the training samples, which judges know."""
        new = self.test if new is self.train else new
        pure = purity(self.judge.predict(new.values).labels, new, self.train)
        own, usual = (closest_record(self.features(each), self.features(self.train)) for each in (new, self.test))
        return {
            "purity": pure.purity,
            "spread": statistics.mean(pure.spread.values()),
            "nearest": float(own.median() / usual.median()),
        }

    def translation(self, translate: Callable[[Mapping[str, Tensor], str], Tensor]) -> dict[str, float]:
        """Return R² of each modality, predicted from all others: within classes, and overall."""
        results = {}
        for name, x in self.test.values.items():
            predicted = translate({other: y for other, y in self.test.values.items() if other != name}, name)
            within = within_class(x, predicted, self.test.labels)
            overall: WithinClass = within_class(x, predicted, torch.zeros_like(self.test.labels))
            results |= {f"within {name}": within.r2(), f"overall {name}": overall.r2()}
        return results

    def classification(self, classify: Callable[[Mapping[str, Tensor]], Tensor]) -> dict[str, float]:
        """Return the balanced accuracy from each modality alone."""
        return {
            f"class from {name}": balanced_accuracy(classify({name: x}), self.test.labels)
            for name, x in self.test.values.items()
        }
