import pytest
import torch

from multimodal_vae.nn.unet import MULTIPLE, UNet


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maps_keep_their_size_and_every_weight_learns_from_the_first_step(axes):
    torch.manual_seed(0)
    network = UNet(axes, 3, 2, width=8, features=5)
    space = [MULTIPLE * (n + 1) for n in range(axes)]
    y = network(torch.randn(4, 3, *space), torch.randn(4, 5))
    assert y.shape == (4, 2, *space)
    y.square().sum().backward()
    assert all(bool((parameter.grad != 0).any()) for parameter in network.parameters())


def test_a_row_depends_on_its_own_maps_and_vector_only():
    torch.manual_seed(0)
    network = UNet(2, 3, 2, width=8, features=5).double()
    x, features = torch.randn(4, 3, 8, 8).double(), torch.randn(4, 5).double()
    together = network(x, features)
    torch.testing.assert_close(network(x[1:2], features[1:2]), together[1:2])
    assert not torch.allclose(network(x[1:2], features[:1]), together[1:2])
