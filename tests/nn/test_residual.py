import math

import pytest
import torch
import torch.nn.functional as F

from multimodal_vae import nn as blocks


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def settled(module):
    """Set batch norm statistics and weights to other than their initial values, which would hide mistakes."""
    torch.manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else 0.3 * torch.randn_like(value))
    return module.eval()


def by_hand(block, x, down):
    """The paper's block, layer by layer."""

    def norm(x, layer):
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, 1e-5)

    def resample(x):
        return F.avg_pool2d(x, 2) if down else F.interpolate(x, scale_factor=2, mode="nearest")

    main = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1)
    main = F.rrelu(norm(main, block.norm1))  # without "training" its slope is constant
    main = F.conv2d(resample(main), block.conv2.weight, block.conv2.bias, padding=1)
    main = norm(main, block.norm2)
    skip = F.conv2d(resample(x), block.skip.weight, block.skip.bias, padding=1)
    return F.rrelu(main + skip)


@pytest.mark.parametrize("down", [True, False], ids=["down", "up"])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 8), (8, 4)])
def test_block_is_the_papers(down, inputs, outputs):
    block = settled(blocks.ResidualBlock(inputs, outputs, (2, 2), down=down))
    x = torch.randn(2, inputs, 6, 4)
    torch.testing.assert_close(block(x), by_hand(block, x, down))


def test_slope_is_rrelus_where_it_does_not_train():
    x = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(F.leaky_relu(x, blocks.SLOPE), F.rrelu(x))
    assert round(blocks.SLOPE, 4) == 0.2292


@pytest.mark.parametrize(
    ("channels", "encoder", "decoder"), [(3, 8_618_432, 9_533_875), (1, 8_616_704, 9_533_297)], ids=["color", "gray"]
)
def test_networks_have_as_many_parameters_as_the_papers(channels, encoder, decoder):
    assert count(blocks.ResidualEncoder((channels, 64, 64), 64)) == encoder
    assert count(blocks.ResidualDecoder(128, (channels, 64, 64), 64)) == decoder


def test_widths_are_the_papers():
    encoder = blocks.ResidualEncoder((3, 64, 64), 64)
    assert [block.skip.out_channels for block in encoder.blocks] == [64, 128, 256, 512, 512]
    decoder = blocks.ResidualDecoder(128, (3, 64, 64), 64)
    assert [block.skip.out_channels for block in decoder.blocks] == [512, 512, 256, 128, 64, 32]


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (2, 2), (1, 1), (12, 9), (16, 4), (3, 40), (17,), (1,), (4, 6, 3)])
def test_any_size_ends_two_long_and_comes_back(size):
    encoder = blocks.ResidualEncoder((2, *size), 4).eval()
    decoder = blocks.ResidualDecoder(5, (2, *size), 4).eval()
    features = encoder(torch.rand(3, 2, *size))
    assert features.shape[2:] == (2,) * len(size)
    assert decoder(torch.randn(3, 5)).shape == (3, 2, *size)


@pytest.mark.parametrize("size", [(12, 9), (16, 4)])
def test_every_input_pixel_reaches_the_features_and_every_latent_the_output(size):
    encoder, decoder = blocks.ResidualEncoder((1, *size), 4).eval(), blocks.ResidualDecoder(3, (1, *size), 4).eval()
    x = torch.rand(1, 1, *size, requires_grad=True)
    encoder(x).square().sum().backward()
    assert (x.grad != 0).all()
    z = torch.randn(1, 3, requires_grad=True)
    decoder(z).square().sum().backward()
    assert (z.grad != 0).all()


def test_padding_is_zeros_at_the_end():
    encoder = blocks.ResidualEncoder((1, 5, 7), 4).eval()
    x = torch.rand(1, 1, 5, 7)
    padded = torch.zeros(1, 1, 8, 8)
    padded[..., :5, :7] = x
    torch.testing.assert_close(encoder(x), encoder.blocks(padded))


@pytest.mark.parametrize("width", [4, 5, 7])
def test_narrow_networks_work(width):
    # The last decoder block has half the width, its middle a quarter: 4 is the minimum, and odd ones are rounded down.
    z = blocks.ResidualDecoder(3, (1, 8, 8), width).eval()(torch.zeros(2, 3))
    assert z.shape == (2, 1, 8, 8)
    assert blocks.ResidualEncoder((1, 8, 8), width).eval()(z).shape[0] == 2


def test_depth_is_the_logarithm_of_the_size():
    for size in (2, 4, 8, 16, 32):
        assert len(blocks.ResidualDecoder(2, (1, size, size), 4).blocks) == math.log2(size)
