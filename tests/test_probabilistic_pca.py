"""The closed form of a linear model with unknown noise: probabilistic PCA (Tipping and Bishop 1999)."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import MultivariateNormal, Normal

import multimodal_vae as mv
from multimodal_vae.nn import LearnedScale, Unstandardize

SIZE, LATENT, STEPS = 6, 2, 300


class Linear(mv.Modality):
    """A vector, linear in the latent, with one unknown deviation of the noise."""

    shape = (SIZE,)

    def encoder(self):
        return nn.Identity()

    def decoder(self, latent_dim):
        return nn.Sequential(nn.Linear(latent_dim, SIZE), Unstandardize(self.shape), LearnedScale((1,)))

    def likelihood(self, decoded):
        return Normal(decoded[:, 0], decoded[:, 1], validate_args=False)


def test_a_linear_model_with_unknown_noise_reaches_the_maximum_likelihood_of_probabilistic_pca():
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(SIZE, LATENT))[0]
    x = 0.5 + torch.randn(300, LATENT) * torch.tensor([2.0, 1.0]) @ axes.T + 0.4 * torch.randn(300, SIZE)
    data = mv.MultimodalDataset.from_tensors({"x": x}, ["a"] * len(x), {"x": Linear()})
    objective = {"reduction": "sum", "kl_weight": 1.0, "metric_weight": 0.0}
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=LATENT, objective=objective, seed=0)
    batch = data.batch(torch.arange(len(x)))
    optimizer = torch.optim.Adam(vae.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    vae.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        vae.objective.total(vae(batch)).backward()
        optimizer.step()
        schedule.step()

    linear, pca = vae.decoders[0][0], PCA(LATENT).fit(x)
    weight = linear.weight.detach()
    variance = vae.decode(torch.zeros(1, LATENT))["x"][0, 1, 0].detach().square()
    # The mean of the discarded eigenvalues; scikit-learn divides by N - 1. Draws of the latent leave an error of 1 %.
    assert variance == pytest.approx(pca.noise_variance_ * (len(x) - 1) / len(x), rel=0.02)
    assert np.degrees(subspace_angles(weight.numpy(), pca.components_.T)).max() < 1
    covariance = weight @ weight.T + variance * torch.eye(SIZE)
    likelihood = MultivariateNormal(linear.bias.detach(), covariance).log_prob(x).mean()
    assert likelihood == pytest.approx(pca.score(x), abs=0.001)  # nats
