"""The fast forms equal the plain ones up to rounding."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from multimodal_vae import nn as blocks
from multimodal_vae.nn import fast
from multimodal_vae.nn.fast import (
    apply_layers,
    channels_last,
    fold_batch_norm,
    transposed_kernel,
    upsample_and_convolve,
    upsample_linearly,
)

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def plainly(x, weight, bias, factors):
    """Repeat by indexing, then convolve."""
    for axis, factor in enumerate(factors, start=2):
        x = x.repeat_interleave(factor, axis)
    return CONVOLVE[len(factors)](x, weight, bias, padding=1)


def made(seed, size, batch=2, inputs=3, outputs=4, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    shapes = [(batch, inputs, *size), (outputs, inputs, *(3 for _ in size)), (outputs,)]
    return [torch.randn(shape, generator=rng, dtype=dtype).requires_grad_() for shape in shapes]


def gradients(y, tensors):
    return torch.autograd.grad((y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum(), tensors)


@given(
    seed=st.integers(0, 1000),
    axes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=3),
)
def test_a_transposed_convolution_is_upsampling_and_convolution(seed, axes):
    size, factors = zip(*axes, strict=True)
    x, weight, bias = made(seed, size)
    kernel = transposed_kernel(weight, factors)
    transposed = TRANSPOSE[len(size)](x, kernel, bias, stride=factors, padding=1)
    expected = plainly(x, weight, bias, factors)
    torch.testing.assert_close(transposed, expected)
    for ours, theirs in zip(
        gradients(transposed, [x, weight, bias]), gradients(expected, [x, weight, bias]), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@given(seed=st.integers(0, 1000), factor=st.integers(1, 4), size=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_linear_upsampling_is_torchs(seed, factor, size):
    x = made(seed, size)[0]
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    ours, theirs = upsample_linearly(x, factor), F.interpolate(x, scale_factor=float(factor), mode=mode)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, [x]), gradients(theirs, [x]))


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize(
    ("size", "factors"),
    [((8, 8), (2, 2)), ((2, 3), (2, 2)), ((16, 8), (1, 2)), ((8, 16), (2, 1)), ((70,), (2,)), ((4, 4, 5), (2, 1, 2))],
)
def test_whichever_form_is_taken_the_result_is_the_same_to_float32_rounding(size, factors, batch, laid_out):
    x, weight, bias = made(0, size, batch, dtype=torch.float32)
    given_ = channels_last(x) if laid_out else x
    fast_, plain = upsample_and_convolve(given_, weight, bias, factors), plainly(x, weight, bias, factors)
    # Sums of 27 to 81 products of order 1, in another order.
    torch.testing.assert_close(fast_, plain, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(fast_, [x, weight, bias]), gradients(plain, [x, weight, bias]), strict=True):
        # Gradients of the bias are sums of thousands of numbers of both signs.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_both_forms_are_taken(monkeypatch):
    calls = []
    monkeypatch.setattr(fast, "transposed_kernel", lambda *a: calls.append(1) or transposed_kernel(*a))
    for batch, size, count in [(1, (8, 8), 0), (16, (8, 8), 1), (16, (4, 8), 1), (1, (32, 32), 2)]:
        upsample_and_convolve(*made(0, size, batch), (2, 2))
        assert len(calls) == count


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_folded_convolution_is_the_convolution_and_its_norm(dimensions):
    block = blocks.ResidualBlock(3, 8, (2,) * dimensions, down=True)
    settle(block)
    x = torch.randn(2, 3, *(4,) * dimensions)
    torch.testing.assert_close(
        fast.convolve(x, *fold_batch_norm(block.conv1, block.norm1)), block.norm1(block.conv1(x))
    )


def settle(module):
    """Set statistics and weights to other than their initial values, which would hide mistakes."""
    torch.manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else 0.3 * torch.randn_like(value))
    return module.eval()


@given(
    seed=st.integers(0, 100),
    down=st.booleans(),
    batch=st.sampled_from([1, 3, 40]),
    axes=st.lists(st.tuples(st.sampled_from([2, 4, 6]), st.sampled_from([1, 2])), min_size=1, max_size=3),
)
def test_a_block_without_gradients_is_the_block_with_them(seed, down, batch, axes):
    size, factors = zip(*axes, strict=True)
    block = settle(blocks.ResidualBlock(3, 4, factors, down=down))
    x = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))
    expected = block(x)
    with torch.no_grad():
        merged = block._forward_merged(x)
        torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


def test_decoding_follows_the_weights_and_statistics_at_once():
    decoder = settle(blocks.ResidualDecoder(4, (1, 16, 16), 8))
    z = torch.randn(64, 4)
    outputs = []
    for change in (
        lambda: None,
        lambda: decoder.blocks[1].skip.weight.data.mul_(2),
        lambda: decoder.blocks[2].norm2.running_mean.add_(1),
        lambda: decoder.load_state_dict(blocks.ResidualDecoder(4, (1, 16, 16), 8).state_dict()),
    ):
        change()
        with torch.no_grad():
            outputs.append(decoder(z))
        torch.testing.assert_close(outputs[-1], decoder(z).detach(), rtol=1e-4, atol=1e-4)
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(outputs))


@pytest.mark.parametrize("mode", ["norms", "block"])
def test_statistics_of_the_batch_are_taken_wherever_a_norm_trains(mode):
    block = blocks.ResidualBlock(2, 4, (2, 2), down=False).eval()
    (block.norm1 if mode == "norms" else block).train()
    before = block.norm1.running_mean.clone()
    with torch.no_grad():
        block(5 + torch.randn(32, 2, 8, 8))
    assert not torch.equal(before, block.norm1.running_mean)


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (4, 1, 5, 6), (4, 3, 1, 1), (1, 1, 1, 1), (0, 3, 2, 2)])
def test_channels_come_last_in_memory_whatever_the_shape_and_a_second_time_costs_nothing(shape):
    x = torch.randn(shape)
    laid_out = channels_last(x)
    assert torch.equal(x, laid_out)
    assert laid_out.stride(1) == 1
    assert laid_out.stride(3) == shape[1]
    assert channels_last(laid_out) is laid_out


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4), (2, 3, 4, 5, 6)])
def test_other_tensors_are_handed_back(shape):
    x = torch.randn(shape)
    assert channels_last(x) is x


@pytest.mark.parametrize("size", [(16, 16), (12,), (4, 8, 2)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", ["residual", "compact"])
def test_a_layout_is_nobodys_elses_business(size, channels, network):
    if network == "compact" and len(size) != 2:
        pytest.skip("it is for images")
    shape = (channels, *size)
    encoder = (blocks.ResidualEncoder if network == "residual" else blocks.CompactEncoder)(shape, 4)
    decoder = (blocks.ResidualDecoder if network == "residual" else blocks.CompactDecoder)(5, shape, 4)
    features, decoded = encoder(torch.rand(20, *shape)), decoder(torch.randn(20, 5))
    features.view(20, -1)  # fails for another memory layout
    decoded.view(20, -1)
    (features.sum() + decoded.sum()).backward()
    for module in (encoder, decoder):
        assert all(p.is_contiguous() and p.grad.is_contiguous() for p in module.parameters())


def test_layers_see_maps_with_channels_last():
    strides = []
    layers = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), torch.nn.Conv2d(3, 1, 1), torch.nn.Conv2d(1, 2, 1))
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, given_: strides.append(given_[0].stride(1)))
    assert apply_layers(layers, torch.rand(2, 1, 4, 4)).is_contiguous()
    assert strides == [1, 1, 1]
