"""Absence, from a manifest's empty cell to the loss."""

import math
from dataclasses import replace

import pytest
import torch

import multimodal_vae as mv

COLUMNS = {"blood": {"name": "vector", "size": 3, "hidden": 8}, "age": {"name": "vector", "size": 1, "hidden": 8}}
MANIFEST = """sample_id,label,blood,age
a,ill,1 2 3,40
b,well,4 5 6,
c,ill,,71
d,well,7 8 1,18
e,ill,2 2 0,
f,well,,33
"""
MASK = [[1, 1], [1, 0], [0, 1], [1, 1], [1, 0], [0, 1]]
FUSIONS = [
    mv.Concat(dropout=0.4),
    mv.PoE(random_subsets=1),
    mv.MoE(),
    mv.MoE(kl="sampled"),
    mv.MoPoE(),
    mv.MoPoE(kl="sampled"),
    mv.MVTCAE(),
    mv.JMVAE(),
    mv.MMVAEPlus(private=2),
    mv.MMVAEPlus(private=2, kl="sampled"),
]
each_fusion = pytest.mark.parametrize("fusion", FUSIONS, ids=lambda part: type(part).__name__)


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text(MANIFEST, "utf-8")
    return tmp_path / "manifest.csv"


def read(manifest):
    return mv.MultimodalDataset.from_manifest(manifest, COLUMNS)


def model(data, fusion, **settings):
    return mv.MultimodalVAE(data.modalities, data.classes, fusion, latent_dim=8, seed=0, **settings)


def terms_of(vae, batch):
    """Without what draws or hides at random, but for the latents' noise, which is the same each time."""
    torch.manual_seed(0)
    return vae.eval()(batch)


def test_the_mask_is_that_of_the_manifests_cells(manifest):
    assert read(manifest).present.int().tolist() == MASK


@each_fusion
def test_an_empty_cell_counts_nothing_in_its_reconstruction_and_every_filled_one_does(manifest, fusion):
    data = read(manifest)
    terms = terms_of(model(data, fusion), data.batch(torch.arange(6)))
    for column, name in enumerate(COLUMNS):
        assert (terms[f"reconstruction.{name}"] > 0).int().tolist() == [row[column] for row in MASK]
    assert terms["kl"].isfinite().all()


@each_fusion
def test_what_stands_in_an_empty_cell_reaches_neither_loss_nor_gradient(manifest, fusion):
    data = read(manifest)
    batch, losses, gradients = data.batch(torch.arange(6)), [], []
    for stand_in in (0.0, 1e4, math.nan):
        vae = model(data, fusion)
        samples = {
            name: x.where(batch.present[:, [column]], stand_in)
            for column, (name, x) in enumerate(batch.samples.items())
        }
        loss = vae.objective.total(terms_of(vae, replace(batch, samples=samples)))
        loss.backward()
        losses.append(loss.detach())
        gradients.append(torch.cat([x.grad.flatten() for x in vae.parameters() if x.grad is not None]))
    assert losses[0].isfinite()
    assert all(torch.equal(losses[0], other) for other in losses[1:])
    assert gradients[0].isfinite().all()
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


@each_fusion
def test_a_training_on_every_pattern_in_one_batch_ends_with_finite_weights(manifest, fusion):
    data = read(manifest)
    vae = mv.fit(model(data, fusion), data, epochs=2, per_class=3, show=False, device="cpu")
    vae.require_finite_weights()
    assert vae.embed(data).isfinite().all()


@each_fusion
def test_a_sample_with_nothing_is_refused_by_name(manifest, fusion):
    data = read(manifest)
    batch = data.batch(torch.arange(6))
    present = batch.present.clone()
    present[4] = False
    vae = model(data, fusion)
    with pytest.raises(mv.DataError, match=r"'e' has no modality"):
        vae(replace(batch, present=present))


def test_a_row_of_empty_cells_is_refused_by_its_name(manifest):
    manifest.write_text(MANIFEST + "g,ill,,\n", "utf-8")
    with pytest.raises(mv.DataError, match=r"line 8.*'g'"):
        read(manifest)


class Shifted(mv.Vector):
    """Whose augmentation would make something of a blank row."""

    def augment(self, x):
        return x + 1

    def corrupt(self, x):
        return x * 2 + 1


def test_augmentation_makes_nothing_present_that_is_absent():
    present = torch.tensor([[True, True], [True, False], [False, True]])
    data = mv.MultimodalDataset.from_tensors(
        {"a": torch.ones(3, 2), "b": torch.ones(3, 2)},
        ["x", "y", "x"],
        {"a": Shifted(size=2), "b": Shifted(size=2)},
        present=present,
    )
    vae, batch = model(data, mv.PoE()), data.batch(torch.arange(3))
    for changed, value in ((vae.augment, 2.0), (vae.corrupt, 3.0)):
        seen = changed(batch.samples, batch.present)
        for column, name in enumerate("ab"):
            assert seen[name].tolist() == [[value] * 2 if here else [0.0] * 2 for here in present[:, column].tolist()]
    target = batch.with_samples(vae.augment(batch.samples, batch.present))
    assert torch.equal(target.present, present)
    terms = terms_of(vae, target)
    assert terms["reconstruction.b"][1] == terms["reconstruction.a"][2] == 0


@each_fusion
def test_a_modality_of_which_the_training_has_nothing_is_refused_by_name(manifest, fusion):
    data = read(manifest)
    without = data.subset(torch.tensor([1, 4]))
    with pytest.raises(mv.DataError, match=r"no training sample has the modality 'age'"):
        mv.fit(model(data, fusion), without, epochs=1, per_class=2, show=False, device="cpu")


def test_sizes_of_data_do_not_decide_which_modality_counts(manifest):
    """With "balanced", a modality of three numbers and one of one weigh the same; with "sum", as their numbers do."""
    data = read(manifest)
    batch, found = data.batch(torch.tensor([0, 3])), {}
    for reduction in ("mean", "sum", "balanced"):
        vae = model(data, mv.PoE(), objective={"reduction": reduction})
        found[reduction] = [terms_of(vae, batch)[f"reconstruction.{name}"] for name in COLUMNS]
    for reduction, factors in (("sum", (3, 1)), ("balanced", (3, 3))):
        for seen, mean, factor in zip(found[reduction], found["mean"], factors, strict=True):
            torch.testing.assert_close(seen, factor * mean)


class Normed(mv.Vector):
    """A modality whose networks have batch norm over features, which has no statistics of a single row."""

    def encoder(self):
        return torch.nn.Sequential(torch.nn.Linear(self.size, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU())

    def decoder(self, latent_dim):
        return torch.nn.Sequential(torch.nn.BatchNorm1d(latent_dim), super().decoder(latent_dim))


@pytest.mark.parametrize("having", [1, 2])
@pytest.mark.parametrize("fusion", FUSIONS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize(
    "part",
    [
        Normed(size=3),
        *(mv.Image(size=(side, side), channels=1, width=4, network="compact") for side in (8, 16)),
        mv.Image(size=(32, 32), channels=1, width=4, network="residual"),
    ],
    ids=lambda part: "x".join(map(str, part.shape)),
)
def test_one_sample_with_a_modality_gives_finite_terms_and_gradients(part, fusion, having):
    vae = mv.MultimodalVAE({"rare": part, "age": mv.Vector(size=1, hidden=8)}, ["a"], fusion, latent_dim=8, seed=0)
    values = {"rare": part.examples(4), "age": torch.rand(4, 1)}
    present = torch.ones(4, 2, dtype=torch.bool)
    present[having:, 0] = False
    batch = mv.MultimodalDataset.from_tensors(values, [0] * 4, vae.modalities).batch(torch.arange(4))
    for size in (4, 1):
        rows = slice(0, size)
        part_of = replace(
            batch,
            samples={name: x[rows] for name, x in batch.samples.items()},
            present=present[rows],
            labels=batch.labels[rows],
            ids=batch.ids[:size],
        )
        vae.zero_grad()
        vae.train()
        loss = vae.objective.total(vae(part_of))
        loss.backward()
        assert loss.isfinite()
        assert all(x.grad is None or x.grad.isfinite().all() for x in vae.parameters())
        assert all(module.training for module in vae.modules())
