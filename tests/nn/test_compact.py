import pytest
import torch

from multimodal_vae.nn import CompactDecoder, CompactEncoder, ResidualDecoder, ResidualEncoder
from multimodal_vae.nn.compact import VoxelShuffle, VoxelUnshuffle


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 8, 8), (1, 16, 32), (2, 17, 30), (1, 1, 1), (2, 8, 17, 3)])
def test_any_size_goes_in_and_comes_back(shape):
    features = CompactEncoder(shape, 4).eval()(torch.rand(3, *shape))
    assert features.shape[2:] == tuple(-(-side // 16) for side in shape[1:])
    assert features.isfinite().all()
    assert CompactDecoder(5, shape, 4).eval()(torch.randn(3, 5)).shape == (3, *shape)


def test_every_input_pixel_reaches_the_features_and_every_latent_the_output():
    x = torch.rand(1, 1, 20, 12, requires_grad=True)
    CompactEncoder((1, 20, 12), 4).eval()(x).square().sum().backward()
    assert (x.grad != 0).all()
    z = torch.randn(1, 3, requires_grad=True)
    CompactDecoder(3, (1, 20, 12), 4).eval()(z).square().sum().backward()
    assert (z.grad != 0).all()


def test_at_its_own_width_it_costs_a_tenth_of_the_papers_network():
    from torch.utils.flop_counter import FlopCounterMode

    def cost(encoder, decoder):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder.eval()(torch.zeros(1, *shape))
            decoder.eval()(torch.zeros(1, 128))
        return counter.get_total_flops()

    shape = (3, 64, 64)
    paper = cost(ResidualEncoder(shape, 64), ResidualDecoder(128, shape, 64))
    assert cost(CompactEncoder(shape), CompactDecoder(128, shape)) < 0.1 * paper
    assert cost(CompactEncoder(shape, 64), CompactDecoder(128, shape, 64)) < paper


def test_voxels_become_channels_as_pixels_do():
    x = torch.rand(2, 3, 4, 6, 8)
    cubes = VoxelUnshuffle(2)(x)
    assert torch.equal(VoxelShuffle(2)(cubes), x)
    planes = torch.nn.functional.pixel_unshuffle(x.transpose(1, 2), 2)  # (N, D, C * 4, H / 2, W / 2)
    for depth in (0, 1):  # of each cube
        expected = planes[:, depth::2].unflatten(2, (3, 4)).permute(0, 2, 3, 1, 4, 5)
        assert torch.equal(cubes.unflatten(1, (3, 2, 4))[:, :, depth], expected)
