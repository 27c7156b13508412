"""Laws of metric losses."""

import torch
from torch import Tensor, nn

from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.testing.exercise import CLASSES, LATENT
from multimodal_vae.testing.instruments import expect_device_followed, same, stir, through_a_file
from multimodal_vae.testing.law import expect, law

_A_BATCH = 12


def _batch(count: int = _A_BATCH) -> tuple[Tensor, Tensor]:
    return torch.randn(count, LATENT, requires_grad=True), torch.arange(count) % CLASSES


def _backward(part: MetricLoss, latents: Tensor, labels: Tensor) -> float:
    """The loss, once it and its gradient are known to be finite."""
    latents = latents.detach().requires_grad_()
    loss = part(latents, labels)
    expect(bool(loss.isfinite().all()), f"a loss of {loss}", "a finite loss")
    expect(loss.requires_grad, "a loss without a gradient", "a loss that can be differentiated, also where it is zero")
    loss.sum().backward()
    gradient = latents.grad if latents.grad is not None else torch.zeros(())
    expect(bool(gradient.isfinite().all()), "a gradient that is not finite", "a finite gradient")
    return float(loss.detach().sum())


@law("metric_loss")
def one_scalar_with_a_gradient(part: MetricLoss) -> None:
    """A batch gives one finite scalar that can be differentiated."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    loss = part(latents, labels)
    expect(loss.shape == (), f"the shape {tuple(loss.shape)}", "a scalar, shape ()")
    _backward(part, latents, labels)


@law("metric_loss")
def order_does_not_matter(part: MetricLoss) -> None:
    """The samples of a batch may come in any order."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    order = torch.randperm(len(labels))
    first, second = part(latents, labels).detach(), part(latents[order], labels[order]).detach()
    # Sums in another order differ in their last digits.
    expect(same(first, second, 1e-4), f"{float(first):g} in one order and {float(second):g} in another", "the same")


@law("metric_loss")
def least_where_classes_collapse_apart(part: MetricLoss) -> None:
    """No arrangement is better than every class in one point, far from the others."""
    part.build(LATENT, CLASSES)
    labels = torch.arange(_A_BATCH) % CLASSES
    points = 10 * torch.eye(CLASSES, LATENT)
    apart, mixed = points[labels], points[torch.arange(_A_BATCH) // CLASSES % CLASSES]
    best = _settled(part, apart, labels)
    others = {f"latents at random, of standard deviation {s:g}": s * torch.randn_like(apart) for s in (0.1, 1.0, 10.0)}
    for what, latents in {"classes that share their points": mixed, **others}.items():
        other = _settled(part, latents, labels)
        expect(
            best <= other + 1e-4 * (1 + abs(other)),
            f"{best:g} for classes in points far apart, and {other:g} for {what}",
            "nothing is less than classes in points far apart",
        )


def _settled(part: MetricLoss, latents: Tensor, labels: Tensor) -> float:
    """The loss, after the loss's own parameters, if it has any, have come to terms with the latents."""
    parameters = list(part.parameters())
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        for _ in range(200):
            loss = part(latents, labels)
            if not loss.requires_grad:  # none of them takes part
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(part(latents, labels).detach())


@law("metric_loss")
def takes_a_batch_without_positives(part: MetricLoss) -> None:
    """A batch in which no two samples are of one class gives a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, _ = _batch(CLASSES)
    _backward(part, latents, torch.arange(CLASSES))


@law("metric_loss")
def takes_a_batch_of_one_class(part: MetricLoss) -> None:
    """A batch in which all samples are of one class gives a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    _backward(part, latents, torch.ones_like(labels))


@law("metric_loss")
def takes_classes_of_any_size(part: MetricLoss) -> None:
    """Classes of none, one, two and five samples in one batch give a finite loss and gradient."""
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
    expect(loss == 0, f"a loss of {loss:g}", "zero, for nothing")


@law("metric_loss")
def takes_equal_latents(part: MetricLoss) -> None:
    """Latents that are all equal, as at the start of a collapse, give a finite loss and gradient."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    _backward(part, torch.ones_like(latents), labels)


@law("metric_loss")
def state_comes_back_from_a_file(part: MetricLoss) -> None:
    """A new loss with the saved state gives the same values."""
    latents, labels = _batch()
    again = part.clone()
    for each in (part, again):
        each.build(LATENT, CLASSES)
    stir(part)
    again.load_state_dict(through_a_file(part.state_dict()))
    first, second = part(latents, labels).detach(), again(latents, labels).detach()
    expect(same(first, second), f"{float(first):g} before and {float(second):g} after", "the same loss")


@law("metric_loss")
def follows_the_device(part: MetricLoss) -> None:
    """Tensors that are made on the way are made where the latents are."""
    part.build(LATENT, CLASSES)
    latents, labels = _batch()
    on_meta: nn.Module = part.to("meta")
    expect_device_followed(lambda: on_meta(latents.to("meta"), labels.to("meta")))
