import torch

from private_density import Latents, constant, distance_of, table


def latents(seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    classes = [torch.randn(200, 3, generator=generator) + index + shift for index in range(3)]
    return Latents(classes, [[f"{row // 2}" for row in range(200)]] * 3)


def test_the_distance_is_that_of_the_moments():
    held_out = latents(0)
    normal = [torch.distributions.MultivariateNormal(torch.zeros(3) + index, torch.eye(3)) for index in range(3)]
    assert distance_of(normal, held_out) < 0.05  # sampling
    # Without spread, what remains is the trace of the covariance, 1 per dimension.
    assert abs(distance_of([constant(each) for each in held_out.classes], held_out) - 1) < 0.1


def test_the_table_has_a_row_per_density():
    rows = table(latents(0), latents(1, 0.5), latents(2, 0.5)).splitlines()
    assert rows[0].startswith("100 patients")
    assert len(rows) == 4 + 12
    assert all(row.count("|") == 5 for row in rows[2:])
