"""Laws of modalities."""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality
from multimodal_vae.scopes import evaluating
from multimodal_vae.testing.exercise import LATENT, again
from multimodal_vae.testing.instruments import (
    expect_device_followed,
    expect_gradients,
    farthest,
    same,
    stir,
    through_a_file,
)
from multimodal_vae.testing.law import LawBroken, expect, law

_STEPS, _RATES = 200, (0.03, 0.3, 3.0)  # of a descent: logits and millivolts are far apart in size


def _valid(part: Modality, samples: Tensor, what: str) -> None:
    try:
        part.check(samples)
    except DataError as error:
        raise LawBroken(f"{what}: a sample {error}", "samples that check takes") from error


@law("modality")
def examples_are_valid_samples(part: Modality) -> None:
    """Any number of made-up samples is valid, and comes again under the same seed."""
    for count in (0, 1, 3):
        torch.manual_seed(count)
        samples = part.examples(count)
        expect(len(samples) == count, f"{len(samples)} examples", f"{count}")
        expect(samples.dtype == torch.float32, f"the type {samples.dtype}", "float32")
        _valid(part, samples, "of the examples")
        torch.manual_seed(count)
        expect(same(samples, part.examples(count)), "other examples under the same seed", "torch's default generator")


@law("modality")
def check_refuses_what_is_no_sample(part: Modality) -> None:
    """Another shape and a value that is not finite are refused with a DataError, where the samples would be taken."""
    samples = part.examples(2)
    spoilt = samples.clone()
    spoilt.view(2, -1)[1, -1] = float("nan")
    for what, wrong in (("another shape", samples[..., None]), ("NaN", spoilt)):
        try:
            part.check(wrong)
        except DataError:
            continue
        raise LawBroken(f"samples with {what} taken", "a DataError")


@law("modality")
def shapes_fit(part: Modality) -> None:
    """Batches of 1 and of 3 give features, and samples of the modality's shape in float32."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    with evaluating(encoder), evaluating(decoder):
        for count in (1, 3):
            features = encoder(part.examples(count))
            rows = tuple(features.shape[:1])
            expect(rows == (count,), f"features of {tuple(features.shape)}", f"{count} rows of features")
            observed = part.observe(decoder(torch.randn(count, LATENT)))
            wanted = (count, *part.shape)
            expect(tuple(observed.shape) == wanted, f"{tuple(observed.shape)} observed", f"{wanted}, as `shape` says")
            expect(observed.dtype == torch.float32, f"the type {observed.dtype} observed", "float32")


@law("modality")
def networks_are_new_each_time(part: Modality) -> None:
    """Two models of one modality share no weights."""
    for what, make in (("encoder", part.encoder), ("decoder", lambda: part.decoder(LATENT))):
        first, second = make(), make()
        shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
        expect(first is not second and not shared, f"the same {what} twice", f"a new {what} each time")


@law("modality")
def loss_is_one_finite_number_a_sample(part: Modality) -> None:
    """The loss has the shape (N,) and is finite, also far from where training will be."""
    decoder, target = part.decoder(LATENT), part.examples(3)
    with evaluating(decoder):
        for scale in (1.0, 30.0):
            loss = part.reconstruction_loss(decoder(scale * torch.randn(3, LATENT)), target)
            expect(loss.shape == (3,), f"a loss of shape {tuple(loss.shape)} for 3 samples", "(3,), never their mean")
            finite = bool(loss.isfinite().all())
            expect(finite, f"{loss.tolist()} for latents of size {scale:g}", "finite losses")


@law("modality")
def loss_ignores_neighbors(part: Modality) -> None:
    """A sample's loss is the same alone and in a batch."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    target, latents = part.examples(4), torch.randn(4, LATENT)
    with evaluating(encoder), evaluating(decoder):
        part.calibrate(encoder, decoder, target)
        together = part.reconstruction_loss(decoder(latents), target)
        alone = torch.cat([part.reconstruction_loss(decoder(latents[i : i + 1]), target[i : i + 1]) for i in range(4)])
    # Kernels for other batch sizes add up in other orders.
    expect(same(together, alone, 1e-4), f"{together.tolist()} together and {alone.tolist()} alone", "the same losses")


@law("modality")
def descent_reaches_the_target(part: Modality) -> None:
    """Descending the loss brings what `observe` shows of the decoder's output to the target."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(20))
    stir(decoder)  # a last layer may start at zero
    target = part.examples(3)
    with evaluating(decoder):
        start, other = decoder(torch.randn(2, 3, LATENT)[0]), decoder(torch.randn(3, LATENT))
    # What no latent moves, such as a unit of the data that a decoder hands on to the loss, is not the loss's to move.
    movable = (start != other).float()
    before = float((part.observe(start) - target).abs().mean())
    nearest = before
    for rate in _RATES:
        decoded = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([decoded], lr=rate)
        for _ in range(_STEPS):
            part.reconstruction_loss(decoded, target).sum().backward()  # type: ignore[no-untyped-call]
            if decoded.grad is None:
                raise LawBroken("no gradient", "a loss that can be differentiated by the decoder's output")
            decoded.grad *= movable
            optimizer.step()
            optimizer.zero_grad()
            nearest = min(nearest, float((part.observe(decoded.detach()) - target).abs().mean()))
            if nearest < 0.5 * before:
                return
    raise LawBroken(f"a mean distance of {before:.3g} before and {nearest:.3g} at best", "less than half of it")


@law("modality")
def every_parameter_has_a_gradient(part: Modality) -> None:
    """Every parameter of both networks takes part in the loss."""
    encoder, decoder, samples = part.encoder(), part.decoder(LATENT), part.examples(6)
    features = encoder(samples).flatten(1)
    latents = features @ torch.randn(features.shape[1], LATENT) / features.shape[1]
    part.reconstruction_loss(decoder(latents), samples).sum().backward()  # type: ignore[no-untyped-call]
    expect_gradients(encoder, "the encoder")
    expect_gradients(decoder, "the decoder")


@law("modality")
def what_is_observed_is_a_valid_sample(part: Modality) -> None:
    """Whatever the decoder gives, `observe` makes a sample of it that check takes."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(10))
    with evaluating(decoder):
        for scale in (1.0, 100.0):
            _valid(part, part.observe(decoder(scale * torch.randn(5, LATENT))), f"for latents of size {scale:g}")


@law("modality")
def augmentation_keeps_samples_valid(part: Modality) -> None:
    """Augmented and corrupted batches keep shape and type, and are valid samples."""
    for what, change in _changes(part):
        for count in (1, 3):
            samples = part.examples(count)
            changed = change(samples.clone())
            seen = (tuple(changed.shape), changed.dtype)
            expect(seen == (tuple(samples.shape), torch.float32), f"{seen} after {what}", "shape and type as before")
            _valid(part, changed, f"after {what}")


@law("modality")
def augmentation_leaves_its_input_alone(part: Modality) -> None:
    """Augmenting and corrupting give new tensors and never change the one they are given."""
    for what, change in _changes(part):
        samples = part.examples(8)
        given = samples.clone()
        change(given)
        expect(same(given, samples), f"{farthest(given, samples)} in the input after {what}", "an input left alone")


@law("modality")
def augmentation_repeats_under_a_seed(part: Modality) -> None:
    """Augmentation and corruption draw from torch's default generator, so that a seed repeats them."""
    samples = part.examples(8)
    for what, change in _changes(part):
        torch.manual_seed(7)
        first = change(samples.clone())
        torch.manual_seed(7)
        second = change(samples.clone())
        expect(same(first, second), f"{farthest(first, second)} between two runs of {what} with one seed", "the same")


def _changes(part: Modality) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    return [("augment", part.augment), ("corrupt", part.corrupt)]


@law("modality")
def calibration_depends_on_its_samples_alone(part: Modality) -> None:
    """Calibrating twice sets the same buffers, moves no weight, and leaves the samples alone."""
    encoder, decoder, samples = part.encoder(), part.decoder(LATENT), part.examples(20)
    kept, networks = samples.clone(), nn.ModuleList([encoder, decoder])
    weights = copy.deepcopy(dict(networks.named_parameters()))
    part.calibrate(encoder, decoder, samples)
    once = copy.deepcopy(dict(networks.named_buffers()))
    part.calibrate(encoder, decoder, part.examples(20))
    part.calibrate(encoder, decoder, samples)
    expect(same(samples, kept), "samples that it changed", "samples left alone")
    for name, buffer in networks.named_buffers():
        expect(same(buffer, once[name]), f"another {name!r} after a second time", "the same buffers")
    for name, parameter in networks.named_parameters():
        expect(same(parameter, weights[name]), f"a weight {name!r} that it moved", "buffers set, weights left alone")


@law("modality")
def state_comes_back_from_a_file(part: Modality) -> None:
    """New networks with the saved state of calibrated ones give the same features and samples."""
    samples, latents = part.examples(5), torch.randn(5, LATENT)
    networks = part.encoder(), part.decoder(LATENT)
    part.calibrate(*networks, part.examples(20))
    fresh = part.encoder(), part.decoder(LATENT)
    for what, network, new, x in zip(("encoder", "decoder"), networks, fresh, (samples, latents), strict=True):
        stir(network)
        new.load_state_dict(through_a_file(network.state_dict()))
        with evaluating(network), evaluating(new):
            first, second = network(x), new(x)
        expect(same(first, second), f"{farthest(first, second)} in what the {what} gives", "the same output")


@law("modality")
def written_samples_are_read_back(part: Modality) -> None:
    """What is written is read back: near the sample the first time, and exactly from then on."""
    for sample in part.examples(3):
        first = again(part, sample)
        _valid(part, first[None], "read back")
        spread = float(sample.max() - sample.min()) or 1.0
        # A picture of 8 bits is within 0.2 % of its range; what has been through a file once has nothing more to lose.
        near = first.shape == sample.shape and float((first - sample).abs().max()) <= 0.01 * spread
        expect(near, f"{farthest(first, sample)} for values that span {spread:.3g}", "within 1 % of their span")
        second = again(part, first)
        expect(same(second, first), f"{farthest(second, first)} the second time", "no further change")


@law("modality")
def plot_draws(part: Modality) -> None:
    """A sample, also one that was read back, draws something on the axis it is given, without a warning."""
    from matplotlib.figure import Figure

    sample = part.examples(1)[0]
    for what, each in (("a sample", sample), ("a sample that was read back", again(part, sample))):
        figure = Figure()
        ax = figure.subplots()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            part.plot(each, ax)
            figure.canvas.draw()
        expect(ax.has_data(), f"an empty axis for {what}", "something drawn")


@law("modality")
def follows_the_device(part: Modality) -> None:
    """Tensors that are made on the way are made where the samples are."""
    encoder, decoder = part.encoder().to("meta").eval(), part.decoder(LATENT).to("meta").eval()
    samples, latents = part.examples(2).to("meta"), torch.zeros(2, LATENT, device="meta")
    expect_device_followed(lambda: encoder(samples))
    expect_device_followed(lambda: part.observe(decoder(latents)))
    expect_device_followed(lambda: part.reconstruction_loss(decoder(latents), samples))
