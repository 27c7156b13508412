import pytest
import torch
from scipy.stats import multivariate_normal

import multimodal_vae as mv


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_it_is_the_standard_normal_whatever_the_latents(count):
    latents = 100 + 7 * torch.randn(count, 3, dtype=torch.float64)
    points = torch.randn(4, 3, dtype=torch.float64)
    ours = mv.Prior().fit(latents)().log_prob(points)
    expected = torch.as_tensor(multivariate_normal(torch.zeros(3)).logpdf(points.numpy()))
    torch.testing.assert_close(ours, expected)


def test_it_wants_rows_of_latents():
    with pytest.raises(mv.SamplerError, match=r"\(N, D\)"):
        mv.Prior().fit(torch.zeros(4))
