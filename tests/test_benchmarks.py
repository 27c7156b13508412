"""What the package is measured against computes the same."""

import runpy
from pathlib import Path

import torch

import multimodal_vae as mv
from multimodal_vae.data.batch import Batch

PLAIN = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "plain.py"))


def test_the_plain_model_has_the_same_weights_loss_and_gradients():
    parts = {
        "otoscopy": mv.Image(size=(64, 64), width=8, loss={"ssim": 1.0}),
        "wbt": mv.Image(size=(64, 64), channels=1, width=8),
    }
    vae = mv.MultimodalVAE(parts, ["NOE", "OME", "AOM"], seed=0).train()
    plain = PLAIN["PlainVAE"](8)
    plain.load_state_dict(vae.state_dict())
    plain.train()
    rng = torch.Generator().manual_seed(0)
    samples = {name: torch.rand(6, *part.shape, generator=rng) for name, part in parts.items()}
    labels = torch.arange(6) % 3
    torch.manual_seed(0)
    ours = vae.objective.total(vae(Batch(samples, torch.ones(6, 2, dtype=torch.bool), labels, list("abcdef"))))
    torch.manual_seed(0)
    theirs = plain.loss(list(samples.values()), list(samples.values()), labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.backward()
    theirs.backward()
    for name, first in vae.named_parameters():
        second = plain.get_parameter(name)
        if not name.endswith(("conv1.bias", "conv2.bias")):  # before batch norm, whose gradient is rounding alone
            scale = float(second.grad.abs().max())
            torch.testing.assert_close(first.grad, second.grad, rtol=1e-3, atol=1e-6 + 1e-4 * scale)
