"""Compare training objectives and log-likelihoods with MultiVae's on the same weights, samples and noise, in float64.

Run: ``python tests/check_multivae.py`` in the environment that ``make .venv-multivae/.installed`` makes.
It prints each check and ends with their number.

Both packages share one set of modules, so gradients refer to the same weights. If definitions agree, values and
gradients are compared directly. If one differs, our fusion with that one difference (``Their...``) must have MultiVae's
value and gradient, and our own must not: docs/reference/fusion.md says which follows the paper.
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Laplace, Normal

sys.path.insert(0, str(Path(__file__).parent / "tools"))
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from multivae_parts import (
    BaseDecoder,
    BaseEncoder,
    BaseJointEncoder,
    IncompleteDataset,
    ModelOutput,
    MultimodalBaseDataset,
    models,
)

import multimodal_vae as mv
from fresh import Held
from multimodal_vae.data.batch import UNLABELED, Batch
from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.mvtcae import kl_to_experts
from multimodal_vae.fusions.subsets import Subsets
from multimodal_vae.nn.losses import bce

Hold = Callable[..., None]

LATENT, COUNT, KL_WEIGHT = 4, 6, 1.3

TOLERANCE = 1e-9
"""Relative. Sums of a few hundred terms in double precision differ by some 1e-14; the smallest difference of
definition, 1e-8 added to variances, shows above it."""

COMPLETE = dict.fromkeys((2, 3))
INCOMPLETE = {
    2: torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [1, 0], [1, 1]]).bool(),
    3: torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]]).bool(),
}


class Squared(mv.Vector):
    """A vector with a normal likelihood of fixed scale, which is left to the weight, as are the constants."""

    def reconstruction_loss(self, decoded, target):
        return (decoded[:, 0] - target).square().mean(1)

    def likelihood(self, decoded):
        return Normal(decoded[:, 0], 0.7, validate_args=False)

    def observe(self, decoded):
        return decoded[:, 0]


class Absolute(Squared):
    """A vector with a Laplace likelihood."""

    def reconstruction_loss(self, decoded, target):
        return (decoded[:, 0] - target).abs().mean(1)

    def likelihood(self, decoded):
        return Laplace(decoded[:, 0], 0.4, validate_args=False)


class Binary(Squared):
    """A vector with a Bernoulli likelihood."""

    def reconstruction_loss(self, decoded, target):
        return bce(decoded[:, 0], target)

    def likelihood(self, decoded):
        return Bernoulli(logits=decoded[:, 0], validate_args=False)


# Per modality: MultiVae's name of the likelihood, its scale, the equivalent weight in our objective, and the constant
# per element, which ours omits.
LIKELIHOODS = {
    "a": (Squared(size=5, hidden=8), "normal", 0.7, 1 / (2 * 0.7**2), math.log(0.7 * math.sqrt(2 * math.pi))),
    "b": (Absolute(size=3, hidden=8), "laplace", 0.4, 1 / 0.4, math.log(2 * 0.4)),
    "c": (Binary(size=2, hidden=8), "bernoulli", None, 1.0, 0.0),
}


class Encoder(BaseEncoder):
    """Encoder body and expert head of one of our modalities."""

    def __init__(self, body: nn.Module, head: nn.Module, prior: bool = False) -> None:
        super().__init__()
        self.latent_dim, self.body, self.head, self.prior = LATENT, body, head, prior

    def forward(self, x):
        answer = self.head(self.body(x))
        found = Gaussian(answer[:, :LATENT], answer[:, LATENT:])  # slices, whose elements MultiVae may set to infinity
        if self.prior:
            found = product(Gaussian(found.mean[:, None], found.logvar[:, None]), torch.ones(len(x), 1) > 0, prior=True)
        return ModelOutput(embedding=found.mean, log_covariance=found.logvar)


class JointEncoder(BaseJointEncoder):
    """Encoder bodies of all our modalities and the joint head."""

    def __init__(self, bodies: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.latent_dim, self.bodies, self.head = LATENT, nn.ModuleList(bodies), head

    def forward(self, x):
        features = [body(each) for body, each in zip(self.bodies, x.values(), strict=True)]
        mean, logvar = self.head(torch.cat(features, 1)).chunk(2, 1)
        return ModelOutput(embedding=mean, log_covariance=logvar)


class Decoder(BaseDecoder):
    """Decoder of one of our modalities, with ``observe``."""

    def __init__(self, modality: mv.Modality, body: nn.Module) -> None:
        super().__init__()
        self.latent_dim, self.modality, self.body = LATENT, modality, body

    def forward(self, z):
        return ModelOutput(reconstruction=self.modality.observe(self.body(z)))


class Pair:
    """Our model, MultiVae's with the same modules, and a batch.

    Attributes:
        present: (N, M) of bool.
        ours: our model.
    """

    def __init__(self, count: int, fusion: mv.Fusion, present: Tensor | None = None, **objective: object) -> None:
        self.names = list(LIKELIHOODS)[:count]
        self.incomplete = present is not None
        self.present = torch.ones(COUNT, count) > 0 if present is None else present
        generator = torch.Generator().manual_seed(1)
        self.samples = {}
        for column, name in enumerate(self.names):
            modality, likelihood, *_ = LIKELIHOODS[name]
            x = torch.randn(COUNT, modality.size, generator=generator)
            self.samples[name] = (x > 0).double() if likelihood == "bernoulli" else x
            self.samples[name][~self.present[:, column]] = 0
        weights = {name: LIKELIHOODS[name][3] for name in self.names}
        objective = {"reduction": "sum", "kl_weight": 1.0, "metric_weight": 0.0, "weights": weights} | objective
        modalities = {name: LIKELIHOODS[name][0] for name in self.names}
        self.ours = mv.MultimodalVAE(modalities, ["any"], fusion, latent_dim=LATENT, objective=objective, seed=3)
        with torch.no_grad():
            for each in self.ours.fusion.parameters():
                each.mul_(3)  # so that experts also differ in width

    def rows(self, rows: Sequence[int]) -> "Pair":
        """Return the same models with some of the samples."""
        other = object.__new__(Pair)
        other.__dict__.update(self.__dict__)
        other.samples, other.present = {n: x[rows] for n, x in self.samples.items()}, self.present[rows]
        return other

    def our_terms(self, noise: Tensor) -> dict[str, Tensor]:
        """Return our terms of the batch."""
        labels = torch.full((len(self.present),), UNLABELED)
        with drawing(noise):
            return self.ours(Batch(self.samples, self.present, labels, [str(row) for row in labels]))

    def our_loss(self, noise: Tensor) -> Tensor:
        """Return our loss plus the constants that it omits."""
        return self.ours.objective.total(self.our_terms(noise)) + self.constants()

    def constants(self) -> Tensor:
        """Return the normalization constants of all reconstruction losses, averaged over the batch."""
        subsets, fusion = self.ours.fusion.subsets(self.present), self.ours.objective
        sizes = {name: modality.elements for name, modality in self.ours.modalities.items()}
        constants = torch.tensor([LIKELIHOODS[name][4] * fusion.elements(name, sizes) for name in self.names])
        weight = subsets.weight[..., None] * subsets.reconstruction_weight * self.present
        return (weight @ constants).sum(0).mean()

    def their_model(self, kind: str, prior: bool = False, **settings: object) -> nn.Module:
        """Return MultiVae's model."""
        vae = self.ours
        config = getattr(models, f"{kind}Config")(
            n_modalities=len(self.names),
            latent_dim=LATENT,
            input_dims={name: modality.shape for name, modality in vae.modalities.items()},
            decoders_dist={name: LIKELIHOODS[name][1] for name in self.names},
            decoder_dist_params={name: {"scale": LIKELIHOODS[name][2]} for name in self.names},
            **settings,
        )
        bodies = dict(zip(self.names, vae.encoders, strict=True))
        heads = dict(zip(self.names, vae.fusion.heads, strict=True))
        parts = [
            {name: Encoder(bodies[name], heads[name], prior) for name in self.names},
            {n: Decoder(vae.modalities[n], body) for n, body in zip(self.names, vae.decoders, strict=True)},
        ]
        if kind == "JMVAE":
            parts.append(JointEncoder(list(vae.encoders), vae.fusion.joint))
        net: nn.Module = getattr(models, kind)(config, *parts)
        return net

    def their_loss(self, kind: str, noise: Tensor, prior: bool = False, **settings: object) -> Tensor:
        """Return MultiVae's loss."""
        net = self.their_model(kind, prior, **settings).train()
        masks = {name: self.present[:, column] for column, name in enumerate(self.names)}
        data = dict(self.samples)
        # MultiVae casts masks and shares to single precision, where 1/3 is off by 3e-8.
        with drawing(noise), mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            return net(IncompleteDataset(data, masks) if self.incomplete else MultimodalBaseDataset(data)).loss


@contextmanager
def drawing(noise: Tensor) -> Iterator[None]:
    """Replace all standard normal draws by the given noise, in order; raise AssertionError if some is left over."""
    numbers, used = noise.flatten(), 0

    def give(shape: Sequence[int]) -> Tensor:
        nonlocal used
        start, used = used, used + math.prod(shape)
        return numbers[start:used].reshape(tuple(shape))

    ours = mock.patch("torch.randn_like", lambda x: give(x.shape))
    theirs = mock.patch("torch.distributions.normal._standard_normal", lambda shape, **_: give(shape))
    with ours, theirs:
        yield
    if used != len(numbers):
        raise AssertionError(f"{used} of {len(numbers)} random numbers were used")


def noise(rows: int) -> Tensor:
    """Return noise for a number of subsets."""
    return torch.randn(rows, LATENT, generator=torch.Generator().manual_seed(2))


def relative_difference(pair: Pair, ours: Tensor, theirs: Tensor) -> float:
    """Return the largest relative difference of two losses and of their gradients."""
    weights = list(pair.ours.parameters())
    mine, other = (
        [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
        for found in (
            torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True) for loss in (ours, theirs)
        )
    )
    size = max(float(g.abs().max()) for g in mine)
    gradients = max(float((g - h).abs().max()) for g, h in zip(mine, other, strict=True)) / size
    return max(gradients, float(((ours - theirs) / theirs).abs().detach()))


# Our fusions with one difference removed.


def padded_product(experts: Gaussian, mask: Tensor, prior: bool = False) -> Gaussian:
    """Return a product after 1e-8 is added to the variance of each factor, including the prior."""
    if prior:
        zeros = torch.zeros_like(experts.mean[..., :1, :])
        experts = Gaussian(torch.cat([experts.mean, zeros], -2), torch.cat([experts.logvar, zeros], -2))
        mask = torch.cat([mask, torch.ones_like(mask[..., :1])], -1)
    return product(Gaussian(experts.mean, (experts.logvar.exp() + 1e-8).log()), mask)


class TheirMVAE(mv.PoE):
    """Average each bound over the samples that have some modality of its subset, not over the batch."""

    def subsets(self, present):
        found = super().subsets(present)
        counts = (found.weight > 0).sum(1, keepdim=True).clamp(min=1)
        return replace(found, weight=found.weight * len(present) / counts)


class PaddedMVTCAE(mv.MVTCAE):
    """Add 1e-8 to variances before multiplication."""

    def forward(self, features, present):
        return padded_product(self.experts(features, present), present)


class TheirMVTCAE(PaddedMVTCAE):
    """Count the modalities of the model, not of the sample."""

    def subsets(self, present):
        found = Subsets.whole(present)
        return replace(found, reconstruction_weight=found.reconstruction_weight * (1 - self.alpha / present.shape[1]))

    def divergence(self, posterior, latents, features, mask, present):
        spread = kl_to_experts(posterior, self.experts(features, mask), mask) / mask.shape[1]
        return (1 - self.alpha) * posterior.kl_to_standard_normal().sum(1) + self.alpha * spread


class TheirMoPoE(mv.MoPoE):
    """Multiply the prior into the product of all modalities only, and add 1e-8 to variances."""

    def forward(self, features, present):
        experts = self.experts(features, present)
        whole, part = (padded_product(experts, present, prior) for prior in (True, False))
        all_here = present.all(1, keepdim=True)
        return Gaussian(torch.where(all_here, whole.mean, part.mean), torch.where(all_here, whole.logvar, part.logvar))


def subsets_of(names: Sequence[str]) -> list[list[str]]:
    """Return all non-empty subsets in our order: by number, whose binary digits select modalities."""
    chosen = itertools.product([False, True], repeat=len(names))
    return [[name for name, is_in in zip(names, each[::-1], strict=True) if is_in] for each in chosen][1:]


def jmvae(hold: Hold) -> None:
    """JMVAE, which accepts complete data only."""
    settings = {"alpha": 0.1, "warmup": 0}
    for count in (2, 3):
        own, pair, drawn = Pair(count, mv.JMVAE()), Pair(count, mv.JMVAE(prior=True)), noise(COUNT)
        same = relative_difference(own, own.our_loss(drawn), own.their_loss("JMVAE", drawn, **settings))
        hold(f"JMVAE of {count}: equal", same < TOLERANCE, same)
        ours = pair.our_loss(drawn)
        differs = relative_difference(pair, ours, pair.their_loss("JMVAE", drawn, **settings))
        hold(f"JMVAE of {count}: different with prior = true", differs > 1e-3, differs)
        same = relative_difference(pair, ours, pair.their_loss("JMVAE", drawn, prior=True, **settings))
        what = "equal where their encoders answer with the prior times the expert"
        hold(f"JMVAE of {count}: {what}", same < TOLERANCE, same)


def mvae(hold: Hold) -> None:
    """MVAE: all modalities, each alone, and random subsets."""
    settings = {"warmup": 0}
    for count in (2, 3):
        pair, drawn = Pair(count, mv.PoE()), noise(COUNT * (1 + count))
        same = relative_difference(pair, pair.our_loss(drawn), pair.their_loss("MVAE", drawn, **settings))
        hold(f"MVAE of {count}: equal", same < TOLERANCE, same)
        heavy = Pair(count, mv.PoE(), kl_weight=KL_WEIGHT)
        same = relative_difference(
            heavy, heavy.our_loss(drawn), heavy.their_loss("MVAE", drawn, beta=KL_WEIGHT, **settings)
        )
        hold(f"MVAE of {count}: equal with another weight of the divergence", same < TOLERANCE, same)
    chosen = [3, 6]  # two of the subsets of two modalities: a with b, b with c
    numbers = torch.tensor(chosen)[:, None].expand(-1, COUNT)
    pair, drawn = Pair(3, mv.PoE(random_subsets=2)), noise(COUNT * 6)
    with (
        mock.patch("multimodal_vae.fusions.poe.draw_numbers", return_value=numbers),
        mock.patch("multivae.models.mvae.mvae_model.choice", return_value=[0, 2]),
    ):
        same = relative_difference(pair, pair.our_loss(drawn), pair.their_loss("MVAE", drawn, k=2, **settings))
        hold("MVAE of 3: equal on the same random subsets", same < TOLERANCE, same)
    for count, present in INCOMPLETE.items():
        drawn = noise(COUNT + int(present.sum()))
        pair, changed = (Pair(count, fusion, present) for fusion in (mv.PoE(), TheirMVAE()))
        differs = relative_difference(pair, pair.our_loss(drawn), pair.their_loss("MVAE", drawn, **settings))
        hold(f"MVAE of {count} with absence: different", differs > 1e-3, differs)
        same = relative_difference(changed, changed.our_loss(drawn), changed.their_loss("MVAE", drawn, **settings))
        hold(
            f"MVAE of {count} with absence: equal where bounds are means over those that have them",
            same < TOLERANCE,
            same,
        )
        lone = pair.rows([int((present.sum(1) == 1).nonzero()[0])])
        once = noise(1)
        same = relative_difference(
            lone, lone.our_loss(once.repeat(2, 1)), lone.their_loss("MVAE", once.repeat(2, 1), **settings)
        )
        hold(f"MVAE of {count}: equal for a sample of one modality", same < TOLERANCE, same)
        single = lone.their_loss("MVAE", once, use_subsampling=False, **settings)
        twice = relative_difference(lone, lone.our_loss(once.repeat(2, 1)), 2 * single)
        hold(f"MVAE of {count}: which both count twice", twice < TOLERANCE, twice)


def mmvae(hold: Hold) -> None:
    """MMVAE with one sample per expert; their loss is a sum over the batch."""
    settings = {"K": 1, "prior_and_posterior_dist": "normal", "learn_prior": False}
    for count, present in [*COMPLETE.items(), *INCOMPLETE.items()]:
        what = f"MMVAE of {count}{'' if present is None else ' with absence'}"
        pair, bound = (Pair(count, mv.MoE(kl=kl), present) for kl in ("sampled", "bound"))
        drawn = noise(count * COUNT).reshape(count, COUNT, LATENT)
        present_noise = drawn[pair.present.T]  # they also draw for absent modalities
        ours, theirs = (
            pair.our_loss(present_noise),
            pair.their_loss("MMVAE", drawn, loss="iwae_looser", **settings) / COUNT,
        )
        same = relative_difference(pair, ours, theirs)
        hold(
            f"{what}: equal, with kl = 'sampled', to the loss by the looser IWAE over the batch", same < TOLERANCE, same
        )
        doubly = pair.their_loss("MMVAE", drawn, loss="dreg_looser", **settings) / COUNT
        hold(
            f"{what}: and to the value of the doubly reparameterized",
            bool(doubly.isclose(ours, rtol=TOLERANCE, atol=0)),
        )
        differs = relative_difference(pair, ours, doubly)
        hold(f"{what}: which has another gradient", differs > 1e-3, differs)
        differs = relative_difference(bound, bound.our_loss(present_noise), theirs)
        hold(f"{what}: different with kl = 'bound'", differs > 1e-3, differs)


def mopoe(hold: Hold) -> None:
    """MoPoE; they reconstruct each sample from one component, by position, or at random for incomplete data."""
    for count in (2, 3):
        subsets = 2**count - 1
        drawn = noise(subsets * COUNT)
        pair, changed = (Pair(count, fusion, kl_weight=KL_WEIGHT) for fusion in (mv.MoPoE(), TheirMoPoE()))
        settings = {"beta": KL_WEIGHT, "subsets": subsets_of(pair.names)}
        # A batch with each sample once per component: its k-th part is reconstructed from the k-th component.
        for each, wanted in ((pair, False), (changed, True)):
            theirs = each.rows(list(range(COUNT)) * subsets).their_loss("MoPoE", drawn, **settings)
            found = relative_difference(each, each.our_loss(drawn), theirs)
            what = "equal with the prior in the full product alone" if wanted else "different"
            hold(f"MoPoE of {count}, over all components: {what}", found < TOLERANCE if wanted else found > 1e-3, found)
        first, whole = changed.rows([0]), Pair(count, WholeMoPoE(), kl_weight=0.0).rows([0])
        few = whole.our_loss(drawn[:1]) + KL_WEIGHT * first.our_terms(drawn[:subsets])["kl"].mean()
        same = few.isclose(first.their_loss("MoPoE", drawn[:1], **settings), rtol=TOLERANCE, atol=0)
        what = "a batch smaller than its components is rebuilt from the last, while all divergences count"
        hold(f"MoPoE of {count}: {what}", same, few)
    for count, present in INCOMPLETE.items():
        changed = Pair(count, TheirMoPoE(), present, kl_weight=KL_WEIGHT)
        settings = {"beta": KL_WEIGHT, "subsets": subsets_of(changed.names)}
        ours, theirs = [], []
        for row in range(COUNT):
            here = {name for name, is_here in zip(changed.names, present[row].tolist(), strict=True) if is_here}
            available = [k for k, each in enumerate(settings["subsets"]) if here.issuperset(each)]
            drawn, one_hot = noise(len(available)), torch.eye(len(settings["subsets"]))[available]
            ours.append(changed.rows([row]).our_loss(drawn))
            with mock.patch("torch.distributions.OneHotCategorical.sample", return_value=one_hot):
                theirs.append(changed.rows([row] * len(available)).their_loss("MoPoE", drawn, **settings))
        same = relative_difference(changed, torch.stack(ours).mean(), torch.stack(theirs).mean())
        hold(f"MoPoE of {count} with absence, over all components: equal with that change", same < TOLERANCE, same)


class WholeMoPoE(TheirMoPoE):
    """Encode the product of all modalities only."""

    def subsets(self, present):
        return Subsets.whole(present)


def mvtcae(hold: Hold) -> None:
    """MVTCAE."""
    for alpha, count in itertools.product((0.1, 5 / 6), (2, 3)):
        settings = {"alpha": alpha, "beta": KL_WEIGHT}
        drawn, what = noise(COUNT), f"MVTCAE of {count}, alpha {alpha:.2g}"
        pair, changed = (Pair(count, fusion(alpha), kl_weight=KL_WEIGHT) for fusion in (mv.MVTCAE, PaddedMVTCAE))
        rounded = relative_difference(pair, pair.our_loss(drawn), pair.their_loss("MVTCAE", drawn, **settings))
        hold(f"{what}: equal to what 1e-8 in the variances does, {rounded:.0e}", 1e-12 < rounded < 1e-6, rounded)
        same = relative_difference(changed, changed.our_loss(drawn), changed.their_loss("MVTCAE", drawn, **settings))
        hold(f"{what}: equal with that added to ours", same < TOLERANCE, same)
        present = INCOMPLETE[count]
        pair, changed = (Pair(count, each(alpha), present, kl_weight=KL_WEIGHT) for each in (PaddedMVTCAE, TheirMVTCAE))
        differs = relative_difference(pair, pair.our_loss(drawn), pair.their_loss("MVTCAE", drawn, **settings))
        hold(f"{what}, with absence: different", differs > 1e-3, differs)
        same = relative_difference(changed, changed.our_loss(drawn), changed.their_loss("MVTCAE", drawn, **settings))
        hold(f"{what}, with absence: equal where M is the model's", same < TOLERANCE, same)
    pair, drawn = Pair(3, PaddedMVTCAE(0.1), reduction="balanced"), noise(COUNT)
    theirs = pair.their_loss("MVTCAE", drawn, alpha=0.1, beta=1.0, uses_likelihood_rescaling=True)
    same = relative_difference(pair, pair.our_loss(drawn), theirs)
    hold("MVTCAE of 3: reduction = 'balanced' is likelihood rescaling", same < TOLERANCE, same)


def held_out_likelihood(hold: Hold) -> None:
    """The joint log-likelihood by importance sampling, from the same draws; encoding takes single precision."""
    draws = 60
    for (kind, fusion, settings), count in itertools.product(
        [
            ("JMVAE", mv.JMVAE(), {"alpha": 0.1, "warmup": 0}),
            ("MVAE", mv.PoE(), {"warmup": 0}),
            ("MVTCAE", mv.MVTCAE(0.1), {"alpha": 0.1, "beta": 1.0}),
        ],
        (2, 3),
    ):
        torch.set_default_dtype(torch.float32)
        pair = Pair(count, fusion)
        drawn = torch.randn(draws, COUNT, LATENT, generator=torch.Generator().manual_seed(4))
        with drawing(drawn):
            ours = mv.log_likelihood(pair.ours, pair.samples, draws=draws, proposal="posterior").values.sum()
        with drawing(drawn), torch.no_grad():
            data = MultimodalBaseDataset({name: x.float() for name, x in pair.samples.items()})
            theirs = -pair.their_model(kind, **settings).compute_joint_nll(data, K=draws, batch_size_K=25)
        torch.set_default_dtype(torch.float64)
        off = float((ours / theirs - 1).abs())
        # Sums of about a thousand terms in single precision; draws are far from equally likely.
        hold(f"log-likelihood of {kind} of {count}: equal", off < 1e-5, off)


def main() -> None:
    """Run all checks; stop at the first failure."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    counted = Held()
    for check in (jmvae, mvae, mmvae, mopoe, mvtcae, held_out_likelihood):
        check(counted.hold)
    print(f"{counted.held} passed, 0 failed")


if __name__ == "__main__":
    main()
