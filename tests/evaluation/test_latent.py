import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.latent import cross_validated_labels
from multimodal_vae.evaluation.pixels import PixelClassifier, balanced_accuracy


def cloud(generator, shift, count=120):
    labels = torch.arange(count) % 3
    return torch.randn(count, 4, generator=generator) + shift * labels[:, None], labels


def test_balanced_accuracy_is_scikit_learns(generator):
    labels = torch.randint(0, 3, (50,), generator=generator) // 2
    predicted = torch.randint(0, 2, (50,), generator=generator)
    expected = balanced_accuracy_score(labels.numpy(), predicted.numpy())
    assert balanced_accuracy(predicted, labels) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["qda", "logistic"])
def test_separability_grows_with_the_distance_of_classes_and_is_chance_without(generator, kind):
    seen = []
    for shift in (0.0, 1.0, 4.0):
        z, labels = cloud(generator, shift)
        seen.append(balanced_accuracy(cross_validated_labels({"z": z}, labels, None, PixelClassifier(kind)), labels))
    assert seen[0] < 0.5 < seen[1] < seen[2]
    assert seen[2] > 0.95


def test_patients_met_before_are_no_help(generator):
    # Each patient has a place of his own, and no class has: whoever knows the patient knows the label.
    patients = torch.arange(120) // 4
    labels = patients % 2
    place = 5 * torch.randn(30, 20, generator=generator)
    z = place[patients] + 0.1 * torch.randn(120, 20, generator=generator)
    leaky = balanced_accuracy(cross_validated_labels({"z": z}, labels), labels)
    fair = balanced_accuracy(cross_validated_labels({"z": z}, labels, [str(p) for p in patients.tolist()]), labels)
    assert leaky > 0.9
    assert fair < 0.7


def test_a_class_that_is_wide_and_one_that_is_narrow_are_told_apart_by_qda_alone(generator):
    labels = torch.arange(200) % 2
    z = torch.randn(200, 5, generator=generator) * (0.2 + labels[:, None])
    qda, logistic = (
        balanced_accuracy(cross_validated_labels({"z": z}, labels, None, PixelClassifier(kind)), labels)
        for kind in ("qda", "logistic")
    )
    assert qda > 0.9
    assert logistic < 0.7


@pytest.mark.parametrize("kind", ["qda", "logistic"])
def test_rare_classes_count_as_much_as_common_ones(generator, kind):
    labels = (torch.arange(400) % 10 == 0).long()
    z = torch.randn(400, 1, generator=generator) + labels[:, None]
    predicted = PixelClassifier(kind).fit({"z": z}, labels).predict({"z": z})
    assert float((predicted[labels == 1] == 1).double().mean()) > 0.5


def test_too_little_is_refused(generator):
    z, labels = cloud(generator, 0)
    with pytest.raises(DataError, match="class 0 has 1 groups, but there are 5 folds"):
        cross_validated_labels({"z": z}, labels, ["one"] * 120)
    with pytest.raises(DataError, match="two classes with 4 samples"):
        PixelClassifier().fit({"z": z[:7]}, labels[:7])
