import pytest
import torch

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers, same_classes


def samples(count=6):
    x = torch.arange(count)
    return LabeledSamples(
        {"a": x[:, None].float(), "b": -x.float()[:, None]}, x % 2, [f"p{k // 2}" for k in x], {"c": x}
    )


def test_rows_keep_all_that_is_known_of_them():
    taken = samples().take([5, 0])
    assert taken.values["a"].tolist() == [[5], [0]]
    assert taken.values["b"].tolist() == [[-5], [0]]
    assert taken.labels.tolist() == [1, 0]
    assert taken.groups == ["p2", "p0"]
    assert taken.causes["c"].tolist() == [5, 0]


def test_a_cut_has_the_counts_asked_for_and_follows_its_seed():
    whole = samples(40)
    cut = whole.subsample({0: 3, 1: 5}, seed=1)
    assert cut.counts() == {0: 3, 1: 5}
    assert len(set(cut.causes["c"].tolist())) == 8
    assert torch.equal(cut.causes["c"], whole.subsample({0: 3, 1: 5}, seed=1).causes["c"])
    assert not torch.equal(cut.causes["c"], whole.subsample({0: 3, 1: 5}, seed=2).causes["c"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (({}, torch.zeros(2)), "one modality"),
        (({"x": torch.zeros(3, 1)}, torch.zeros(2)), "'x' has 3 rows"),
        (({"x": torch.zeros(2, 1)}, torch.zeros(2), ["a"]), "'groups' has 1 rows"),
        (({"x": torch.zeros(2, 1)}, torch.zeros(2), None, {"c": torch.zeros(1)}), "'c' has 1 rows"),
        (({"x": torch.tensor([[1.0], [float("nan")]])}, torch.zeros(2)), "'x' holds a value that is not finite"),
        (({"x": torch.zeros(2, 1)}, torch.tensor([0, -1])), "a negative label, -1"),
    ],
)
def test_what_is_not_whole_is_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        LabeledSamples(*arguments)


def test_a_cut_of_too_much_names_the_class():
    with pytest.raises(DataError, match="class 1 has 3 samples; 4 are needed"):
        samples().subsample({0: 1, 1: 4}, seed=0)


def test_classes_compared_must_be_the_same():
    assert same_classes(torch.tensor([2, 0]), torch.tensor([0, 2, 2])) == [0, 2]
    with pytest.raises(DataError, match="the same classes"):
        same_classes(torch.tensor([0, 1]), torch.tensor([0]))


def test_without_groups_each_row_is_its_own():
    assert group_numbers(None, 3).tolist() == [0, 1, 2]
