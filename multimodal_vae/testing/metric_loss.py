"""Laws of metric losses."""

import torch
from torch import Tensor, nn

from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.testing.exercise import CLASSES, LATENT
from multimodal_vae.testing.instruments import expect_device_followed, perturb, same, save_and_load
from multimodal_vae.testing.law import expect, law

_BATCH = 12


def _batch(count: int = _BATCH) -> tuple[Tensor, Tensor]:
    return torch.randn(count, LATENT, requires_grad=True), torch.arange(count) % CLASSES


def _backward(part: MetricLoss, latents: Tensor, labels: Tensor) -> float:
    """Require a finite loss and gradient, and return the loss."""
    latents = latents.detach().requires_grad_()
    loss = part(latents, labels)
    expect(bool(loss.isfinite().all()), f"a loss of {loss}", "a finite loss")
    expect(loss.requires_grad, "a loss without a gradient", "a differentiable loss, also where it is zero")
    loss.sum().backward()
    gradient = latents.grad if latents.grad is not None else torch.zeros(())
    expect(bool(gradient.isfinite().all()), "a gradient that is not finite", "a finite gradient")
    return float(loss.detach().sum())


@law("metric_loss")
def one_scalar_with_a_gradient(part: MetricLoss) -> None:
    """A batch gives one finite, differentiable scalar."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    loss = part(latents, labels)
    expect(loss.shape == (), f"shape {tuple(loss.shape)}", "a scalar, shape ()")
    _backward(part, latents, labels)


@law("metric_loss")
def order_does_not_matter(part: MetricLoss) -> None:
    """The order of the samples in a batch does not matter."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    order = torch.randperm(len(labels))
    first, second = part(latents, labels).detach(), part(latents[order], labels[order]).detach()
    # Floating-point sums depend on the order of their terms.
    expect(same(first, second, 1e-4), f"{float(first):g} in one order and {float(second):g} in another", "equal losses")


@law("metric_loss")
def lowest_for_collapsed_distant_classes(part: MetricLoss) -> None:
    """No arrangement has a lower loss than each class in one point, far from the others."""
    part.build(LATENT, CLASSES)
    labels = torch.arange(_BATCH) % CLASSES
    points = 10 * torch.eye(CLASSES, LATENT)
    apart, mixed = points[labels], points[torch.arange(_BATCH) // CLASSES % CLASSES]
    best = _minimized(part, apart, labels)
    others = {f"random latents of standard deviation {s:g}": s * torch.randn_like(apart) for s in (0.1, 1.0, 10.0)}
    for what, latents in {"classes that share their points": mixed, **others}.items():
        other = _minimized(part, latents, labels)
        expect(
            best <= other + 1e-4 * (1 + abs(other)),
            f"{best:g} for classes in points far apart, and {other:g} for {what}",
            "the lowest loss for classes in points far apart",
        )


def _minimized(part: MetricLoss, latents: Tensor, labels: Tensor) -> float:
    """Return the loss after its own parameters, if any, have been optimized for the latents."""
    parameters = list(part.parameters())
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        for _ in range(200):
            loss = part(latents, labels)
            if not loss.requires_grad:  # it depends on no parameter
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(part(latents, labels).detach())


@law("metric_loss")
def takes_a_batch_without_positives(part: MetricLoss) -> None:
    """A batch without two samples of one class gives a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, _ = _batch(CLASSES)
    _backward(part, latents, torch.arange(CLASSES))


@law("metric_loss")
def takes_a_batch_of_one_class(part: MetricLoss) -> None:
    """A batch of a single class gives a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    _backward(part, latents, torch.ones_like(labels))


@law("metric_loss")
def takes_classes_of_any_size(part: MetricLoss) -> None:
    """Classes of zero, one, two and five samples in one batch give a finite loss and gradient."""
    members = torch.tensor([0, 1, 2, 5])
    labels = torch.arange(len(members)).repeat_interleave(members)
    part.build(LATENT, len(members))
    _backward(part, torch.randn(len(labels), LATENT), labels)


@law("metric_loss")
def takes_an_empty_batch(part: MetricLoss) -> None:
    """A batch without labeled samples gives zero, with a gradient."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch(0)
    loss = _backward(part, latents, labels)
    expect(loss == 0, f"a loss of {loss:g}", "zero")


@law("metric_loss")
def takes_equal_latents(part: MetricLoss) -> None:
    """Equal latents, as at the start of a collapse, give a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    _backward(part, torch.ones_like(latents), labels)


@law("metric_loss")
def state_is_restored_from_a_file(part: MetricLoss) -> None:
    """A new loss with the saved state gives the same values."""
    latents, labels = _batch()
    again = part.clone()
    for each in (part, again):
        each.build(LATENT, CLASSES)
    perturb(part)
    again.load_state_dict(save_and_load(part.state_dict()))
    first, second = part(latents, labels).detach(), again(latents, labels).detach()
    expect(same(first, second), f"{float(first):g} before and {float(second):g} after", "the same loss")


@law("metric_loss")
def follows_the_device(part: MetricLoss) -> None:
    """New tensors are created on the device of the latents."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    on_meta: nn.Module = part.to("meta")
    expect_device_followed(lambda: on_meta(latents.to("meta"), labels.to("meta")))
