import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.copying import closest_record


def test_distances_are_those_of_scikit_learn():
    rng = torch.Generator().manual_seed(0)
    x, records = torch.randn(1500, 5, generator=rng), 100 + torch.randn(40, 5, generator=rng)
    expected = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(records.double()).kneighbors(x.double())[0][:, 0]
    torch.testing.assert_close(closest_record(x, records), torch.from_numpy(expected))


def test_a_copy_is_at_no_distance_however_far_from_zero():
    records = 1e6 + torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    assert (closest_record(records[[3, 3, 7]], records) == 0).all()


def test_no_samples_have_no_distances_and_no_records_are_refused():
    assert closest_record(torch.zeros(0, 3), torch.zeros(2, 3)).shape == (0,)
    with pytest.raises(DataError, match="no training records"):
        closest_record(torch.zeros(2, 3), torch.zeros(0, 3))
