import pytest
import torch

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.purity import purity
from multimodal_vae.evaluation.samples import LabeledSamples


def real(generator, count=60):
    labels = torch.arange(count) % 3
    return LabeledSamples({"a": torch.randn(count, 4, generator=generator), "b": torch.randn(count, 2, 2)}, labels)


def test_it_falls_to_chance_with_shuffled_labels(generator):
    samples = real(generator, 600)
    judged = samples.labels
    shuffled = LabeledSamples(samples.values, judged[torch.randperm(600, generator=generator)])
    assert purity(judged, samples, samples).purity == 1
    assert purity(judged, shuffled, samples).purity == pytest.approx(1 / 3, abs=0.07)


def test_rare_classes_count_as_much_as_common_ones(generator):
    samples = LabeledSamples({"x": torch.randn(12, 2, generator=generator)}, torch.tensor([0] * 10 + [1] * 2))
    assert purity(torch.zeros(12), samples, samples).purity == 0.5


def test_a_collapsed_class_is_pure_and_its_spread_says_so(generator):
    samples = real(generator)
    narrow = LabeledSamples({"a": 0.2 * samples.values["a"], "b": samples.values["b"]}, samples.labels)
    result = purity(samples.labels, narrow, samples)
    assert result.purity == 1
    assert result.spread == pytest.approx({"a": 0.2, "b": 1})


def test_a_class_that_was_not_generated_is_no_silence(generator):
    samples = real(generator)
    with pytest.raises(DataError, match="the same classes"):
        purity(samples.labels[:2], samples.take([0, 1]), samples)
