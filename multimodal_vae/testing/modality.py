"""Laws of modalities."""

import copy
import warnings
from collections.abc import Callable
from itertools import count as count_from

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

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

_DRAWN, _ERRORS = 200_000, 6.0  # values to draw, and standard errors that a mean of so many hardly exceeds
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
    """`check` raises a DataError for another shape and values that are not finite; NaN is valid with `gaps`."""
    samples = part.examples(2)
    with_nan, infinite = samples.clone(), samples.clone()
    with_nan.view(2, -1)[1, -1], infinite.view(2, -1)[1, -1] = torch.nan, torch.inf
    if part.gaps:
        _valid(part, with_nan, "with gaps")
    refused = {"another shape": samples[..., None], "infinity": infinite, **({} if part.gaps else {"NaN": with_nan})}
    for what, invalid in refused.items():
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


def _described(part: Modality) -> tuple[Tensor, Distribution | None]:
    """Return the output of a calibrated decoder for 3 latents, and the likelihood that it describes."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(20))
    with evaluating(decoder):
        decoded: Tensor = decoder(torch.randn(3, LATENT))
    return decoded, part.likelihood(decoded)


@law("modality")
def loss_is_the_negative_log_likelihood(part: Modality) -> None:
    """With a likelihood, the loss is the negative log-likelihood in nats over `elements`."""
    decoded, likelihood = _described(part)
    if likelihood is not None:
        target = part.examples(3)
        loss = part.reconstruction_loss(decoded, target)
        expected = -likelihood.log_prob(target).reshape(3, -1).sum(1) / part.elements
        expect(same(loss, expected, 1e-5), f"{loss.tolist()}", f"{expected.tolist()}, as log_prob and elements give")


@law("modality")
def observed_samples_are_expected(part: Modality) -> None:
    """With a likelihood, `observe` returns its mean or its mode."""
    decoded, likelihood = _described(part)
    if likelihood is not None:
        observed, candidates = part.observe(decoded), []
        for name in ("mean", "mode"):
            try:
                candidates.append(getattr(likelihood, name))
            except NotImplementedError:  # of distributions that torch does not compute it for
                continue
        near = not candidates or any(same(observed, each, 1e-5) for each in candidates)
        expect(near, f"{difference(observed, candidates[0]) if candidates else ''} from the mean", "mean or mode")


@law("modality")
def draws_follow_the_likelihood(part: Modality) -> None:
    """With a likelihood, mean and spread of many draws are its own within sampling error, and a seed repeats draws."""
    decoded, likelihood = _described(part)
    if likelihood is None:
        return
    torch.manual_seed(7)
    once = part.draw(decoded)
    torch.manual_seed(7)
    expect(same(once, part.draw(decoded)), "other draws under the same seed", "the same draws")
    try:
        mean, variance = likelihood.mean, likelihood.variance
    except NotImplementedError:
        return
    count = max(100, min(1000, _DRAWN // part.elements))
    distance = torch.stack([part.draw(decoded) for _ in range(count)]) - mean
    error = (variance / count).sqrt()
    off = float((distance.mean(0).abs() / (error + 1e-6 * mean.abs() + 1e-12)).max())
    expect(off < _ERRORS, f"a mean {off:.3g} standard errors from that of the likelihood", f"less than {_ERRORS:g}")
    # Per draw, the square of the distance over the variance, which is 1 on average.
    spread = distance.square().flatten(1).sum(1) / variance.sum().clamp_min(1e-12)
    expected = float(variance.sum() > 0)
    far = float((spread.mean() - expected).abs() / (spread.std() / count**0.5 + 1e-3))
    expect(far < _ERRORS, f"a variance {float(spread.mean()):.3g} times that of the likelihood", "1, within its error")


@law("modality")
def draws_are_valid_samples(part: Modality) -> None:
    """`draw` returns valid samples of the modality's shape for any output of the decoder."""
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, part.examples(10))
    with evaluating(decoder):
        for scale in (1.0, 100.0):
            drawn = part.draw(decoder(scale * torch.randn(5, LATENT)))
            expect(drawn.dtype == torch.float32, f"drawn dtype {drawn.dtype}", "float32")
            _valid(part, drawn, f"draws for latents of size {scale:g}")


@law("modality")
def missing_elements_count_nothing(part: Modality) -> None:
    """With a likelihood, elements that are NaN in the target add nothing to the loss and to its gradient."""
    decoded, likelihood = _described(part)
    if likelihood is None:
        return
    target, decoded = part.examples(3), decoded.requires_grad_()
    first, others = target.clone(), target.clone()
    first[0] = first.view(3, -1)[1, 0] = others.view(3, -1)[1, 1:] = torch.nan
    whole, loss, rest = (part.reconstruction_loss(decoded, x) for x in (target, first, others))
    expect(not loss[0].any(), f"a loss of {loss[0].item():.3g} if all elements are missing", "0")
    expect(same(loss[2], whole[2]), "another loss of a sample that misses nothing", "the same loss")
    whole_event = likelihood.log_prob(target).dim() < target.dim()  # is missing as a whole
    parts, expected = loss[1] + rest[1], torch.zeros(()) if whole_event and part.shape != (1,) else whole[1]
    expect(same(parts, expected, 1e-5), f"{parts.item():.6g} for two parts of a sample", f"{expected.item():.6g}")
    (gradient,) = torch.autograd.grad(loss.sum(), decoded)
    clean = bool(gradient.isfinite().all()) and not gradient[0].any()
    expect(clean, f"a gradient from {gradient.min():.3g} to {gradient.max():.3g}", "finite, and 0 for a missing sample")


@law("modality")
def gaps_affect_their_own_elements(part: Modality) -> None:
    """With `gaps`, missing elements change nothing of other samples, and statistics are those of known elements."""
    if not part.gaps:
        return
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    samples = part.examples(20)
    known = samples[:10]
    missing = torch.full_like(samples[10:], torch.nan)
    part.calibrate(encoder, decoder, known)
    networks = nn.ModuleList([encoder, decoder])
    whole = copy.deepcopy(dict(networks.named_buffers()))
    part.calibrate(encoder, decoder, torch.cat([known, missing]))
    for name, buffer in networks.named_buffers():
        equal = same(buffer, whole[name], 1e-5)
        expect(equal, f"{name!r} changed by samples of which all is missing", "statistics of known elements")
    gapped = samples.clone()
    gapped[10:] = torch.where(torch.rand_like(gapped[10:]) < 0.5, torch.nan, gapped[10:])
    with evaluating(encoder):
        before, after = encoder(samples), encoder(gapped)
        expect(
            same(before[:10], after[:10]), f"{difference(before[:10], after[:10])}", "no bit changed by others' gaps"
        )
        finite = bool(after.isfinite().all() and encoder(missing).isfinite().all())
        expect(finite, "features that are not finite", "finite features of samples with missing elements")
    compared = part.features(torch.cat([gapped, missing]), samples)
    expect(bool(compared.isfinite().all()), "`features` that are not finite", "finite numbers")


@law("modality")
def samples_are_compared_by_finite_features(part: Modality) -> None:
    """`features` are finite numbers, one row per sample, and a row depends on its sample and the reference only."""
    samples, reference = part.examples(4), part.examples(20)
    features = part.features(samples, reference)
    valid = features.dim() == 2 and len(features) == 4 and bool(features.isfinite().all())
    expect(valid, f"features of shape {tuple(features.shape)}", "finite numbers, (N, F)")
    alone = torch.cat([part.features(samples[i : i + 1], reference) for i in range(4)])
    expect(same(features, alone), f"{difference(features, alone)} of samples by themselves", "the same features")


@law("modality")
def augmentation_keeps_samples_valid(part: Modality) -> None:
    """Augmented and corrupted batches keep shape and dtype, and are valid samples."""
    several = next(n for n in count_from(3) if n not in part.shape)  # else a mask of rows may fit another axis
    for what, change in _changes(part):
        for rows in (1, several):
            samples = part.examples(rows)
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
def sets_are_plotted(part: Modality) -> None:
    """`plot_sets` gives None, or a figure of sets of any sizes, without a warning; it does not change the samples."""
    sets = {"real": part.examples(3), "generated": part.examples(1)}
    before = {name: x.clone() for name, x in sets.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = part.plot_sets(sets)
        if figure is not None:
            figure.canvas.draw()
    drawn = figure is None or any(ax.has_data() for ax in figure.axes)
    expect(drawn, "a figure without data", "None, or a plot of the sets")
    for name, x in sets.items():
        expect(same(x, before[name]), f"other samples {name!r} after the plot", "the same samples")


@law("modality")
def follows_the_device(part: Modality) -> None:
    """New tensors are created on the device of the samples."""
    encoder, decoder = part.encoder().to("meta").eval(), part.decoder(LATENT).to("meta").eval()
    samples, latents = part.examples(2).to("meta"), torch.zeros(2, LATENT, device="meta")
    expect_device_followed(lambda: encoder(samples))
    expect_device_followed(lambda: part.observe(decoder(latents)))
    expect_device_followed(lambda: part.reconstruction_loss(decoder(latents), samples))
