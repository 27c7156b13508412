"""For every law, a mutant that breaks only this law."""

import copy
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Distribution

import multimodal_vae as mv
from multimodal_vae.registry import KINDS
from multimodal_vae.testing import LawBroken, laws
from sharpening import Sharpen

MUTANTS = {}


def mutant(*names):
    """Declare a mutant that breaks the law of its class's name, or the given law."""

    def declare(part):
        MUTANTS[part.kind, names[0] if names else part.__name__] = part
        return part

    return declare


class Picture(mv.Image):
    """A modality that keeps every law."""

    def __init__(self, size: tuple[int, int] = (8, 8), width: int = 4) -> None:
        super().__init__(size=size, channels=1, width=width, loss={"mse": 1.0})


@mutant()
class settings_recreate_the_part(Picture):
    @property
    def configuration(self):
        return {"name": self.name, "size": list(self.size), "width": self.width + 1}


@mutant()
class copies_share_nothing(Picture):
    def __deepcopy__(self, memory):
        return self


@mutant()
class use_changes_nothing_global(Picture):
    def encoder(self):
        np.random.seed(0)  # noqa: NPY002
        return super().encoder()


@mutant()
class examples_are_valid_samples(Picture):
    def examples(self, count):
        return torch.as_tensor(np.random.default_rng().random((count, *self.shape), dtype=np.float32))


@mutant()
class check_refuses_invalid_samples(Picture):
    def check(self, samples):
        pass


@mutant()
class shapes_match(Picture):
    def observe(self, decoded):
        return super().observe(decoded).squeeze(0)


@mutant()
class networks_are_new_each_time(Picture):
    def encoder(self):
        if not hasattr(self, "kept"):
            self.kept = super().encoder()
        return self.kept


@mutant()
class loss_is_one_finite_number_per_sample(Picture):
    def reconstruction_loss(self, decoded, target):
        return super().reconstruction_loss(decoded, target)[:, None]


@mutant()
class loss_is_never_below_its_least(Picture):
    def least_loss(self, target):
        return super().least_loss(target) + 9.0


@mutant()
class loss_is_independent_per_sample(Picture):
    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        return loss * (1 + loss.mean())


@mutant()
class descent_reaches_the_target(Picture):
    def observe(self, decoded):
        return 1 - super().observe(decoded)


@mutant()
class every_parameter_has_a_gradient(Picture):
    def encoder(self):
        encoder = super().encoder()
        encoder.unused = nn.Linear(2, 2)
        return encoder


@mutant()
class observed_samples_are_valid(Picture):
    def observe(self, decoded):
        return 1.02 * super().observe(decoded) - 0.01

    def draw(self, decoded):
        return super().observe(decoded)


@mutant()
class augmentation_keeps_samples_valid(Picture):
    def augment(self, x):
        return x + 0.5


@mutant()
class augmentation_does_not_change_its_input(Picture):
    def corrupt(self, x):
        return x.mul_(0.9)


@mutant()
class augmentation_repeats_under_a_seed(Picture):
    def augment(self, x):
        return x * float(np.random.default_rng().uniform(0.5, 1))


@mutant()
class calibration_depends_on_its_samples_only(Picture):
    def encoder(self):
        encoder = super().encoder()
        encoder.register_buffer("count", torch.zeros(()))
        return encoder

    def calibrate(self, encoder, decoder, samples):
        encoder.count += len(samples)


@mutant("state_is_restored_from_a_file")
class Forgetful(Picture):
    def encoder(self):
        encoder = super().encoder()
        gain = torch.rand(()).item()  # random, and not saved
        encoder.register_forward_hook(lambda _module, _inputs, features: gain * features)
        return encoder


@mutant()
class written_samples_are_read_back(Picture):
    def read(self, cell):
        return super().read(cell)[:, ::-1].copy()


@mutant()
class plot_draws(Picture):
    def plot(self, sample, ax):
        ax.set_axis_off()


@mutant()
class sets_are_plotted(Picture):
    def plot_sets(self, sets):
        sets["real"].zero_()


@mutant("follows_the_device")
class Rooted(Picture):
    def reconstruction_loss(self, decoded, target):
        return super().reconstruction_loss(decoded, target) * torch.ones(len(target))


class Numbers(mv.Vector):
    """A modality with a likelihood that keeps every law."""

    def __init__(self, size: int = 3, hidden: int = 4) -> None:
        super().__init__(size=size, hidden=hidden)


@mutant()
class loss_is_the_negative_log_likelihood(Numbers):
    def reconstruction_loss(self, decoded, target):
        return 2 * super().reconstruction_loss(decoded, target)


@mutant()
class observed_samples_are_expected(Numbers):
    def observe(self, decoded):
        return 0.9 * super().observe(decoded)


@mutant()
class draws_follow_the_likelihood(Numbers):
    def draw(self, decoded):
        return self.observe(decoded)


@mutant()
class draws_are_valid_samples(Picture):
    def draw(self, decoded):
        return self.observe(decoded) + 0.1 * torch.randn(1)


@mutant()
class missing_elements_count_nothing(Numbers):
    def reconstruction_loss(self, decoded, target):
        return super().reconstruction_loss(decoded, target.nan_to_num())


class Gaps(mv.Table):
    """A modality with missing elements that keeps every law."""

    def __init__(self, hidden: int = 8) -> None:
        super().__init__({"a": "real", "b": "count"}, hidden)


class DisturbedByGaps(nn.Module):
    """Shifts all samples of a batch in which one misses something."""

    def forward(self, x):
        return x + 0.1 * x[:, x.shape[1] // 2 :].any()


@mutant()
class gaps_affect_their_own_elements(Gaps):
    def encoder(self):
        encoder = super().encoder()
        return nn.Sequential(encoder[:3], DisturbedByGaps(), encoder[3:])


@mutant()
class samples_are_compared_by_finite_features(Numbers):
    def features(self, samples, reference=None):
        return samples - samples.mean(0)


class Good(mv.Concat):
    """A fusion that keeps every law."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__(dropout=dropout)


@mutant("settings_recreate_the_part")
class ForgetfulFusion(Good):
    @property
    def configuration(self):
        return {"name": self.name, "dropout": self.dropout / 2}


@mutant("copies_share_nothing")
class SharingFusion(Good):
    def __deepcopy__(self, memory):
        copied = type(self)(self.dropout)
        copied.__dict__.update(self.__dict__)
        return copied


@mutant("use_changes_nothing_global")
class SeedingFusion(Good):
    def build(self, sizes, latent_dim):
        torch.manual_seed(0)
        super().build(sizes, latent_dim)


@mutant()
class posterior_has_one_row_per_sample(Good):
    def forward(self, features, present):
        posterior = super().forward(features, present)
        return mv.Gaussian(posterior.mean.double(), posterior.logvar.double())


@mutant()
class samples_do_not_mix(Good):
    def forward(self, features, present):
        posterior = super().forward(features, present)
        shifts = torch.linspace(0, 1, len(posterior.mean), device=posterior.mean.device)[:, None]
        return mv.Gaussian(posterior.mean + shifts, posterior.logvar)


@mutant()
class absent_modalities_are_handled_or_named(Good):
    def forward(self, features, present):
        if not present.all():
            raise mv.DataError("something is lacking")
        return super().forward(features, present)


@mutant()
class absent_modalities_have_no_influence(Good):
    def forward(self, features, present):
        return super().forward(features, torch.ones_like(present))


@mutant()
class posterior_integrates_to_one(Good):
    def forward(self, features, present):
        posterior = super().forward(features, present)
        joined = torch.cat([x.where(present[:, [i]], 0) for i, x in enumerate(features.values())], 1)
        return mv.Gaussian(posterior.mean, self.logvar(joined))


@mutant()
class subsets_contain_present_modalities_only(Good):
    def subsets(self, present):
        whole = mv.Subsets.whole(present)
        return mv.Subsets(torch.ones_like(whole.mask), whole.weight, whole.reconstruction_weight)


@mutant()
class divergence_has_one_value_per_row(Good):
    def divergence(self, posterior, latents, features, mask, present):
        divergence = super().divergence(posterior, latents, features, mask, present)
        return divergence.mean().expand_as(divergence)


@mutant()
class gradient_reaches_every_encoder(Good):
    def forward(self, features, present):
        return super().forward({name: x.detach() for name, x in features.items()}, present)


@mutant("every_parameter_has_a_gradient")
class IdleFusion(Good):
    def build(self, sizes, latent_dim):
        super().build(sizes, latent_dim)
        self.idle = nn.Linear(2, 2)


@mutant()
class modalities_may_have_any_name(Good):
    def build(self, sizes, latent_dim):
        super().build(sizes, latent_dim)
        self.register_buffer("count", torch.zeros(()))
        for name in sizes:
            self.register_buffer(f"_{name}", None) if name.isidentifier() else self.register_buffer(name, None)


@mutant("state_is_restored_from_a_file")
class ForgetfulGain(Good):
    def build(self, sizes, latent_dim):
        super().build(sizes, latent_dim)
        self.gain = torch.rand(()).item()

    def forward(self, features, present):
        posterior = super().forward(features, present)
        return mv.Gaussian(self.gain * posterior.mean, posterior.logvar)


@mutant("follows_the_device")
class RootedFusion(Good):
    def forward(self, features, present):
        posterior = super().forward(features, present)
        return mv.Gaussian(posterior.mean + torch.zeros(len(present), 1), posterior.logvar)


class Pull(mv.MetricLoss):
    """A metric loss that keeps every law: the mean distance to the proxy of the class."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def build(self, latent_dim, classes):
        self.proxies = nn.Parameter(torch.randn(classes, latent_dim))

    def forward(self, latents, labels):
        distance = (latents - self.proxies[labels]).square().mean(1)
        return self.weight * distance.sum() / max(1, len(labels))


@mutant("settings_recreate_the_part")
class ForgetfulLoss(Pull):
    @property
    def configuration(self):
        return {"name": self.name, "weight": self.weight + 1}


@mutant("copies_share_nothing")
class SharingLoss(Pull):
    def __deepcopy__(self, memory):
        copied = type(self)(self.weight)
        copied.__dict__.update(self.__dict__)
        return copied


@mutant("use_changes_nothing_global")
class LoudLoss(Pull):
    def build(self, latent_dim, classes):
        os.environ["MMVAE_NOTES"] = os.environ.get("MMVAE_NOTES", "") + "x"
        super().build(latent_dim, classes)


@mutant()
class one_scalar_with_a_gradient(Pull):
    def forward(self, latents, labels):
        return super().forward(latents, labels)[None]


@mutant()
class order_does_not_matter(Pull):
    def forward(self, latents, labels):
        distance = (latents - self.proxies[labels]).square().mean(1)
        return (distance * (1 + 0.01 * torch.arange(len(labels), device=labels.device))).sum() / max(1, len(labels))


@mutant()
class lowest_for_collapsed_distant_classes(Pull):
    def forward(self, latents, labels):
        alike = labels[:, None] == labels
        closeness = 1 / (1 + (latents[:, None] - latents).square().sum(2))
        return (closeness * alike).sum() / max(1, len(labels))


@mutant()
class takes_a_batch_without_positives(Pull):
    def forward(self, latents, labels):
        alone = len(labels) == 3 and len(set(labels.tolist())) == 3
        return super().forward(latents, labels) * (float("nan") if alone else 1)


@mutant()
class takes_a_batch_of_one_class(Pull):
    def forward(self, latents, labels):
        return super().forward(latents, labels) * (float("nan") if len(set(labels.tolist())) == 1 else 1)


@mutant()
class takes_classes_of_any_size(Pull):
    def forward(self, latents, labels):
        members = set(Counter(labels.tolist()).values())
        return super().forward(latents, labels) * (float("nan") if len(members) > 1 else 1)


@mutant()
class takes_an_empty_batch(Pull):
    def forward(self, latents, labels):
        return super().forward(latents, labels) + (0 if len(labels) else 1)


@mutant()
class takes_equal_latents(Pull):
    def forward(self, latents, labels):
        spread = latents.var(0).sum().sqrt() if len(latents) else 0
        return super().forward(latents, labels) + 0 * spread


@mutant("state_is_restored_from_a_file")
class ForgetfulProxy(Pull):
    def build(self, latent_dim, classes):
        super().build(latent_dim, classes)
        self.gain = 1 + torch.rand(()).item()

    def forward(self, latents, labels):
        return self.gain * super().forward(latents, labels)


@mutant("follows_the_device")
class RootedLoss(Pull):
    def forward(self, latents, labels):
        return (super().forward(latents, labels) + torch.zeros(1)).squeeze()


class Normal(mv.DensitySampler):
    """A sampler that keeps every law."""

    def __init__(self, shrink: float = 0.1) -> None:
        super().__init__()
        self.shrink = shrink
        self.register_buffer("mean", None)
        self.register_buffer("scale", None)

    def fit(self, latents):
        if len(latents) < 2 or not latents.isfinite().all() or bool((latents == latents[0]).all()):
            raise mv.SamplerError("needs two latents that differ")
        latents = latents.detach().clone()
        self.mean = latents.mean(0)
        self.scale = ((1 - self.shrink) * latents.var(0) + self.shrink * latents.var()).sqrt()
        return self

    def forward(self):
        self.state()
        return mv.GaussianMixture(torch.ones(1).to(self.mean), self.mean[None], self.scale[None])


class Changed(Distribution):
    """A distribution with changed draws or log density."""

    def __init__(self, base, drawn=lambda x: x, log_prob=lambda x: x):
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)
        self.base, self._drawn, self._log_prob = base, drawn, log_prob

    def sample(self, sample_shape=()):
        return self._drawn(self.base.sample(sample_shape))

    def log_prob(self, value):
        return self._log_prob(self.base.log_prob(value))


@mutant("settings_recreate_the_part")
class ForgetfulSampler(Normal):
    @property
    def configuration(self):
        return {"name": self.name, "shrink": self.shrink / 2}


@mutant("copies_share_nothing")
class SharingSampler(Normal):
    def __deepcopy__(self, memory):
        copied = type(self)(self.shrink)
        copied._buffers.update(self._buffers)
        return copied


@mutant("use_changes_nothing_global")
class WanderingSampler(Normal):
    def fit(self, latents):
        np.seterr(under="raise" if np.geterr()["under"] == "ignore" else "ignore")
        return super().fit(latents)


@mutant()
class gives_a_distribution(Normal):
    def fit(self, latents):
        super().fit(latents)
        return copy.copy(self)


@mutant()
class log_density_integrates_to_one(Normal):
    def forward(self):
        return Changed(super().forward(), log_prob=lambda x: x + 0.1)


@mutant()
class draws_follow_the_density(Normal):
    def forward(self):
        return Changed(super().forward(), drawn=lambda x: self.mean + 2 * (x - self.mean))


@mutant()
class draws_repeat_under_a_seed(Normal):
    def forward(self):
        return Changed(super().forward(), drawn=lambda x: x + 1e-3 * float(np.random.default_rng().random()))


@mutant("state_is_restored_from_a_file")
class ForgetfulShift(Normal):
    shift = 0.0

    def fit(self, latents):
        super().fit(latents)
        self.shift = 0.5
        return self

    def forward(self):
        return mv.GaussianMixture(
            torch.ones(1).to(super().forward().means), self.mean[None] + self.shift, self.scale[None]
        )


@mutant()
class unfitted_raises(Normal):
    def forward(self):
        return (
            super().forward()
            if self.mean is not None
            else mv.GaussianMixture(torch.ones(1), torch.zeros(1, 3), torch.ones(1, 3))
        )


@mutant()
class fitting_changes_neither_latents_nor_generator(Normal):
    def fit(self, latents):
        torch.rand(1)
        return super().fit(latents)


@mutant()
class fitting_again_forgets(Normal):
    def fit(self, latents):
        before = self.scale
        super().fit(latents)
        if before is not None and before.mean() > 0:
            self.scale = self.scale * 1.5
        return self


@mutant()
class fits_each_class_or_says_why(Normal):
    def fit_classes(self, classes, groups=None, reference=None):
        fitted = super().fit_classes(classes, groups, reference)
        return fitted._replace(densities=[each for each in fitted.densities if each is not None])


@mutant()
class takes_few_latents(Normal):
    def fit(self, latents):
        if 2 <= len(latents) < latents.shape[1]:
            raise ValueError("a covariance is not positive definite")
        return super().fit(latents)


@mutant()
class takes_one_latent(Normal):
    def fit(self, latents):
        if len(latents) == 1:
            self.mean, self.scale = latents[0], latents.std(0, correction=0)
            return self
        return super().fit(latents)


@mutant()
class takes_equal_latents_of_one_value(Normal):
    def fit(self, latents):
        if len(latents) > 1 and bool((latents == latents[0]).all()):
            raise ZeroDivisionError("no variance")
        return super().fit(latents)


MUTANTS["sampler", "takes_equal_latents"] = MUTANTS.pop(("sampler", "takes_equal_latents_of_one_value"))


@mutant()
class takes_no_latents(Normal):
    def fit(self, latents):
        latents[0]
        return super().fit(latents)


@mutant()
class refuses_latents_that_are_not_finite(Normal):
    def fit(self, latents):
        if latents.isfinite().all():
            return super().fit(latents)
        self.mean, self.scale = latents.mean(0), latents.var(0)
        return self

    def state(self):
        state = dict(self.state_dict())
        return super().state() if all(bool(x.isfinite().all()) for x in state.values()) else state


@mutant()
class says_that_it_keeps_latents(Normal):
    def fit(self, latents):
        super().fit(latents)
        self.mean = latents.detach()[(latents - self.mean).square().sum(1).argmin()].clone()
        return self


class Notes(mv.Logger):
    """A logger that keeps every law."""

    def __init__(self, file: str = "notes.jsonl") -> None:
        self.file = file

    def open(self, folder, configuration):
        self.folder = folder

    def log(self, step, values):
        if self.folder is not None:
            with open(Path(self.folder) / self.file, "a", encoding="utf-8") as notes:
                notes.write(json.dumps({"step": step, **values}))


@mutant("settings_recreate_the_part")
class ForgetfulLogger(Notes):
    @property
    def configuration(self):
        return {"name": self.name, "file": self.file + "_"}


@mutant("copies_share_nothing")
class SharingLogger(Notes):
    def __deepcopy__(self, memory):
        return self


@mutant("use_changes_nothing_global")
class PollutingLogger(Notes):
    def open(self, folder, configuration):
        os.environ["MMVAE_NOTES"] = os.environ.get("MMVAE_NOTES", "") + "x"
        super().open(folder, configuration)


@mutant()
class logs_any_metrics(Notes):
    def log(self, step, values):
        values.pop("validation.loss", None)
        super().log(step, values)


@mutant()
class works_without_a_folder(Notes):
    def log(self, step, values):
        assert self.folder.is_dir()


@mutant()
class closes_before_anything_is_logged(Notes):
    def log(self, step, values):
        self.last = step

    def close(self):
        del self.last


@mutant("settings_recreate_the_part")
class ForgetfulRefiner(Sharpen):
    @property
    def configuration(self):
        return {"name": self.name, "width": self.width + 2}


@mutant("copies_share_nothing")
class SharedRefiner(Sharpen):
    def __deepcopy__(self, memory):
        return self


@mutant("use_changes_nothing_global")
class SeedingRefiner(Sharpen):
    def build(self, shape, latent_dim, classes):
        super().build(shape, latent_dim, classes)
        np.random.seed(0)  # noqa: NPY002


@mutant()
class keeps_the_shape(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        refined = super().forward(coarse, latents, labels, noise)
        return refined[..., 1:] if coarse.dim() == 3 else refined  # of signals only


@mutant()
class same_arguments_give_the_same_samples(Sharpen):
    calls = 0

    def forward(self, coarse, latents, labels, noise):
        self.calls += 1
        return super().forward(coarse * (1 + 1e-6 * self.calls), latents, labels, noise)


@mutant()
class other_noise_gives_another_sample(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        pattern = 2.3 * torch.arange(coarse[0].numel(), device=coarse.device)
        return super().forward(coarse, latents, labels, 2**0.5 * pattern.sin().reshape(coarse.shape[1:]))


@mutant()
class refining_is_independent_per_sample(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse, latents, labels, noise - 0.5 * noise.mean(0))


@mutant("loss_is_one_finite_number_per_sample")
class Column(Sharpen):
    def loss(self, coarse, target, latents, labels):
        return super().loss(coarse, target, latents, labels)[:, None]


@mutant()
class every_weight_has_a_gradient(Sharpen):
    def build(self, shape, latent_dim, classes):
        super().build(shape, latent_dim, classes)
        self.unused = nn.Parameter(torch.zeros(2))


@mutant("state_is_restored_from_a_file")
class Measuring(Sharpen):
    gain = 1.0

    def loss(self, coarse, target, latents, labels):
        self.gain = 1 + 0.01 * target.detach().square().mean()  # and no buffer
        return super().loss(coarse, target, latents, labels)

    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse, latents, labels, self.gain * noise)


@mutant("state_is_restored_from_a_file")
class Calibrating(Sharpen):
    gain = 1.0

    def calibrate(self, coarse, target, latents, labels):
        self.gain = 1 + 0.01 * target.square().mean()  # and no buffer

    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse, latents, labels, self.gain * noise)


@mutant()
class samples_stay_in_the_range_of_training(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return coarse + self.network(coarse) + self.deviation * noise


@mutant()
class training_brings_the_texture_of_samples_nearer_to_real_ones(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse, latents, labels, 0.1 * noise)


@mutant()
class refined_samples_stay_near_decoded_ones(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse.flip(2), latents, labels, noise)


@mutant("follows_the_device")
class RootedRefiner(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return super().forward(coarse + torch.zeros(coarse.shape), latents, labels, noise)


KEEPERS = [Picture, Numbers, Good, Pull, Normal, Sharpen, Notes]


def broken(part):
    """Return the message of each law that a part breaks, by name."""
    found = {}
    for law in laws(part.kind):
        try:
            law(part)
        except LawBroken as error:
            found[law.name] = str(error)
    return found


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    """Restore the global state that mutants change."""
    state, errors = np.random.get_state(), np.geterr()  # noqa: NPY002
    monkeypatch.delenv("MMVAE_NOTES", raising=False)
    yield
    np.random.set_state(state)  # noqa: NPY002
    np.seterr(**errors)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_what_the_mutants_are_made_of_keeps_every_law(keeper):
    assert broken(keeper()) == {}


@pytest.mark.parametrize(("kind", "law"), MUTANTS, ids=lambda word: word)
def test_a_mutant_breaks_its_law_and_no_other(kind, law):
    part = MUTANTS[kind, law]()
    found = broken(part)
    assert list(found) == [law], found
    assert found[law].startswith(f"law {law!r} of a {kind}, on {part!r}: actual: ")
    assert "; expected: " in found[law]


def test_every_law_has_its_mutant():
    assert set(MUTANTS) == {(kind, law.name) for kind in KINDS for law in laws(kind)}


class RowsForChannels(mv.Volume):
    """A volume whose augmentation flips channels where it means rows: right in two dimensions, silent in three."""

    def augment(self, x):
        return torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], x.flip(-1), x)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_mask_of_rows_that_meets_another_axis_is_found(channels):
    (law,) = [each for each in laws("modality") if each.name == "augmentation_keeps_samples_valid"]
    with pytest.raises(LawBroken):
        law(RowsForChannels(size=(4, 4, 4), channels=channels, width=4))
