import pytest
import torch

from multimodal_vae.nn import SignalDecoder, SignalEncoder

LATENT = 5


@pytest.mark.parametrize("shape", [(1, 1), (3, 19), (2, 128), (1, 187), (12, 1000), (1, 5001)])
def test_signals_of_any_length_are_encoded_whole_and_decoded_at_full_length(shape):
    torch.manual_seed(0)
    encoder, decoder = SignalEncoder(shape, 4, 8).eval(), SignalDecoder(LATENT, shape, 4, 8).eval()
    x = torch.randn(1, *shape, requires_grad=True)
    encoder(x).square().sum().backward()
    assert (x.grad != 0).all()
    z = torch.randn(1, LATENT, requires_grad=True)
    decoded = decoder(z)
    assert decoded.shape == (1, *shape)
    influence = torch.autograd.functional.jvp(decoder, z.detach(), torch.ones_like(z))[1]
    assert (influence != 0).all()


def test_the_cost_of_the_perceptron_is_bounded_for_long_signals():
    weights = [sum(p.numel() for p in SignalEncoder((12, length)).parameters()) for length in (2000, 200_000)]
    assert weights[1] < 1.2 * weights[0]
    maps = [SignalEncoder((1, length)).eval()(torch.zeros(1, 1, length)).shape[1] for length in (128, 200_000)]
    assert maps[1] <= maps[0]
