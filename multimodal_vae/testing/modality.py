"""Laws of modalities."""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality
from multimodal_vae.scopes import evaluating
from multimodal_vae.testing.exercise import LATENT, round_trip
from multimodal_vae.testing.instruments import (
    difference,
    expect_device_followed,
    expect_gradients,
    perturb,
    same,
    save_and_load,
)
from multimodal_vae.testing.law import LawBroken, expect, law

_STEPS, _RATES = 200, (0.03, 0.3, 3.0)  # of gradient descent; logits and millivolts need different rates


def _valid(part: Modality, samples: Tensor, what: str) -> None:
    try:
        part.check(samples)
    except DataError as error:
        raise LawBroken(f"{what}: a sample {error}", "samples that check accepts") from error


@law("modality")
def examples_are_valid_samples(part: Modality) -> None:
    """Examples of any number are valid samples and repeat under a seed."""
    for count in (0, 1, 3):
        torch.manual_seed(count)
        samples = part.examples(count)
        expect(len(samples) == count, f"{len(samples)} examples", f"{count}")
        expect(samples.dtype == torch.float32, f"dtype {samples.dtype}", "float32")
        _valid(part, samples, "examples")
        torch.manual_seed(count)
        expect(same(samples, part.examples(count)), "other examples under the same seed", "the same examples")


@law("modality")
def check_refuses_invalid_samples(part: Modality) -> None:
    """`check` raises a DataError for another shape and for values that are not finite."""
    samples = part.examples(2)
    with_nan = samples.clone()
    with_nan.view(2, -1)[1, -1] = float("nan")
    for what, invalid in (("another shape", samples[..., None]), ("NaN", with_nan)):
        try:
            part.check(invalid)
        except DataError:
            continue
        raise LawBroken(f"samples with {what} accepted", "a DataError")


@law("modality")
def shapes_match(part: Modality) -> None:
    """Batches of 1 and of 3 give features, and float32 samples of the modality's shape."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    with evaluating(encoder), evaluating(decoder):
        for count in (1, 3):
            features = encoder(part.examples(count))
            rows = tuple(features.shape[:1])
            expect(rows == (count,), f"features of shape {tuple(features.shape)}", f"{count} rows of features")
            observed = part.observe(decoder(torch.randn(count, LATENT)))
            shape = (count, *part.shape)
            expect(tuple(observed.shape) == shape, f"observed shape {tuple(observed.shape)}", f"{shape}, as in `shape`")
            expect(observed.dtype == torch.float32, f"observed dtype {observed.dtype}", "float32")


@law("modality")
def networks_are_new_each_time(part: Modality) -> None:
    """Two models with one modality share no weights."""
    for what, make in (("encoder", part.encoder), ("decoder", lambda: part.decoder(LATENT))):
        first, second = make(), make()
        shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
        expect(first is not second and not shared, f"the same {what} twice", f"a new {what} on each call")


@law("modality")
def loss_is_one_finite_number_per_sample(part: Modality) -> None:
    """The loss has shape (N,) and is finite, also for latents far from those of training."""
    decoder, target = part.decoder(LATENT), part.examples(3)
    with evaluating(decoder):
        for scale in (1.0, 30.0):
            loss = part.reconstruction_loss(decoder(scale * torch.randn(3, LATENT)), target)
            expect(loss.shape == (3,), f"a loss of shape {tuple(loss.shape)} for 3 samples", "(3,), not their mean")
            finite = bool(loss.isfinite().all())
            expect(finite, f"{loss.tolist()} for latents of size {scale:g}", "finite losses")


@law("modality")
def loss_is_independent_per_sample(part: Modality) -> None:
    """A sample's loss does not depend on the other samples of its batch."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    target, latents = part.examples(4), torch.randn(4, LATENT)
    with evaluating(encoder), evaluating(decoder):
        part.calibrate(encoder, decoder, target)
        batch = part.reconstruction_loss(decoder(latents), target)
        single = torch.cat([part.reconstruction_loss(decoder(latents[i : i + 1]), target[i : i + 1]) for i in range(4)])
    # Kernels for other batch sizes sum in another order.
    expect(same(batch, single, 1e-4), f"{batch.tolist()} in a batch and {single.tolist()} alone", "equal losses")


@law("modality")
def loss_is_never_below_its_least(part: Modality) -> None:
    """A loss that is no likelihood is at least `least_loss`, one number per sample."""
    decoder, target = part.decoder(LATENT), part.examples(3)
    with evaluating(decoder):
        decoded = decoder(torch.randn(3, LATENT))
        loss, least = part.reconstruction_loss(decoded, target), part.least_loss(target)
    expect(least.shape == (3,), f"a least loss of shape {tuple(least.shape)} for 3 samples", "(3,)")
    above = part.likelihood(decoded) is not None or bool((loss >= least - 1e-5).all())  # rounding
    expect(above, f"losses of {loss.tolist()}", f"at least {least.tolist()}; a negative log-likelihood: `likelihood`")


@law("modality")
def descent_reaches_the_target(part: Modality) -> None:
    """Gradient descent on the loss moves what `observe` returns toward the target."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(20))
    perturb(decoder)  # a last layer may start at zero
    target = part.examples(3)
    with evaluating(decoder):
        start, other = decoder(torch.randn(2, 3, LATENT)[0]), decoder(torch.randn(3, LATENT))
    # Outputs that no latent changes, such as a scale that the decoder passes to the loss, stay fixed.
    movable = (start != other).float()
    before = float((part.observe(start) - target).abs().mean())
    nearest = before
    for rate in _RATES:
        decoded = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([decoded], lr=rate)
        for _ in range(_STEPS):
            part.reconstruction_loss(decoded, target).sum().backward()  # type: ignore[no-untyped-call]
            if decoded.grad is None:
                raise LawBroken("no gradient", "a loss that is differentiable in the decoder's output")
            decoded.grad *= movable
            optimizer.step()
            optimizer.zero_grad()
            nearest = min(nearest, float((part.observe(decoded.detach()) - target).abs().mean()))
            if nearest < 0.5 * before:
                return
    raise LawBroken(f"a mean distance of {before:.3g} before and {nearest:.3g} at best", "less than half of that")


@law("modality")
def every_parameter_has_a_gradient(part: Modality) -> None:
    """Every parameter of both networks contributes to the loss."""
    encoder, decoder, samples = part.encoder(), part.decoder(LATENT), part.examples(6)
    features = encoder(samples).flatten(1)
    latents = features @ torch.randn(features.shape[1], LATENT) / features.shape[1]
    part.reconstruction_loss(decoder(latents), samples).sum().backward()  # type: ignore[no-untyped-call]
    expect_gradients(encoder, "the encoder")
    expect_gradients(decoder, "the decoder")


@law("modality")
def observed_samples_are_valid(part: Modality) -> None:
    """`observe` returns valid samples for any output of the decoder."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(10))
    with evaluating(decoder):
        for scale in (1.0, 100.0):
            _valid(part, part.observe(decoder(scale * torch.randn(5, LATENT))), f"for latents of size {scale:g}")


@law("modality")
def augmentation_keeps_samples_valid(part: Modality) -> None:
    """Augmented and corrupted batches keep shape and dtype, and are valid samples."""
    for what, change in _changes(part):
        for count in (1, 3):
            samples = part.examples(count)
            changed = change(samples.clone())
            actual, expected = (tuple(changed.shape), changed.dtype), (tuple(samples.shape), torch.float32)
            expect(actual == expected, f"{actual} after {what}", f"{expected}")
            _valid(part, changed, f"after {what}")


@law("modality")
def augmentation_does_not_change_its_input(part: Modality) -> None:
    """Augmentation and corruption return new tensors and do not change their input."""
    for what, change in _changes(part):
        samples = part.examples(8)
        given = samples.clone()
        change(given)
        expect(same(given, samples), f"{difference(given, samples)} in the input after {what}", "an unchanged input")


@law("modality")
def augmentation_repeats_under_a_seed(part: Modality) -> None:
    """Augmentation and corruption use torch's default generator, so that a seed repeats them."""
    samples = part.examples(8)
    for what, change in _changes(part):
        torch.manual_seed(7)
        first = change(samples.clone())
        torch.manual_seed(7)
        second = change(samples.clone())
        expect(
            same(first, second), f"{difference(first, second)} between calls of {what} with one seed", "equal results"
        )


def _changes(part: Modality) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    return [("augment", part.augment), ("corrupt", part.corrupt)]


@law("modality")
def calibration_depends_on_its_samples_only(part: Modality) -> None:
    """Calibrating again gives the same buffers, and changes neither weights nor samples."""
    encoder, decoder, samples = part.encoder(), part.decoder(LATENT), part.examples(20)
    original, networks = samples.clone(), nn.ModuleList([encoder, decoder])
    weights = copy.deepcopy(dict(networks.named_parameters()))
    part.calibrate(encoder, decoder, samples)
    once = copy.deepcopy(dict(networks.named_buffers()))
    part.calibrate(encoder, decoder, part.examples(20))
    part.calibrate(encoder, decoder, samples)
    expect(same(samples, original), "changed samples", "unchanged samples")
    for name, buffer in networks.named_buffers():
        expect(same(buffer, once[name]), f"another {name!r} after calibrating again", "the same buffers")
    for name, parameter in networks.named_parameters():
        expect(same(parameter, weights[name]), f"a changed weight {name!r}", "changes in buffers only")


@law("modality")
def state_is_restored_from_a_file(part: Modality) -> None:
    """New networks with the saved state of calibrated ones give the same features and samples."""
    samples, latents = part.examples(5), torch.randn(5, LATENT)
    networks = part.encoder(), part.decoder(LATENT)
    part.calibrate(*networks, part.examples(20))
    fresh = part.encoder(), part.decoder(LATENT)
    for what, network, new, x in zip(("encoder", "decoder"), networks, fresh, (samples, latents), strict=True):
        perturb(network)
        new.load_state_dict(save_and_load(network.state_dict()))
        with evaluating(network), evaluating(new):
            first, second = network(x), new(x)
        expect(same(first, second), f"{difference(first, second)} in the output of the {what}", "the same output")


@law("modality")
def written_samples_are_read_back(part: Modality) -> None:
    """A written sample is read back approximately, and exactly once it has been read from a file."""
    for sample in part.examples(3):
        first = round_trip(part, sample)
        _valid(part, first[None], "read from a file")
        spread = float(sample.max() - sample.min()) or 1.0
        # Rounding to 8 bits is within 0.2 % of the range.
        near = first.shape == sample.shape and float((first - sample).abs().max()) <= 0.01 * spread
        expect(near, f"{difference(first, sample)} for values with a range of {spread:.3g}", "within 1 % of the range")
        second = round_trip(part, first)
        expect(same(second, first), f"{difference(second, first)} the second time", "no difference")


@law("modality")
def plot_draws(part: Modality) -> None:
    """A sample, also one read from a file, is plotted on the given axis without a warning."""
    from matplotlib.figure import Figure

    sample = part.examples(1)[0]
    for what, each in (("a sample", sample), ("a sample read from a file", round_trip(part, sample))):
        figure = Figure()
        ax = figure.subplots()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            part.plot(each, ax)
            figure.canvas.draw()
        expect(ax.has_data(), f"an empty axis for {what}", "a plot")


@law("modality")
def follows_the_device(part: Modality) -> None:
    """New tensors are created on the device of the samples."""
    encoder, decoder = part.encoder().to("meta").eval(), part.decoder(LATENT).to("meta").eval()
    samples, latents = part.examples(2).to("meta"), torch.zeros(2, LATENT, device="meta")
    expect_device_followed(lambda: encoder(samples))
    expect_device_followed(lambda: part.observe(decoder(latents)))
    expect_device_followed(lambda: part.reconstruction_loss(decoder(latents), samples))
