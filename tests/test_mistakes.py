"""Mistakes that people make in a call: each is an error of this package, in one line."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.checks import checked
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.judge import train_judge
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.synthesis.comparison import held_out_likelihood
from multimodal_vae.synthesis.conditional import write_interpolation, write_translations
from multimodal_vae.training.loop import find_device

FEW = {"device": "cpu", "show": False, "epochs": 1, "per_class": 2}
ONE = {"x": {"name": "vector", "size": 3}}
ROWS = {"x": torch.zeros(4, 3)}
LABELS = [0, 1, 0, 1]
PAIR = torch.zeros(2, 1)
JUDGED = LabeledSamples(ROWS, torch.tensor(LABELS))
ITEM = {"sample_id": "s", "label": 0, "x": torch.zeros(3)}


class World:
    """What the mistakes are made with."""

    def __init__(self, data, vae, folder):
        self.data, self.vae, self.folder = data, vae, folder
        self.empty, self.pair = data.subset([]), data.subset([0, 1])
        self.synthesizer = mv.Synthesizer(vae).fit(data)

    def model(self, **changes):
        return mv.MultimodalVAE(
            **{"modalities": self.data.modalities, "classes": ["ill", "well"], "latent_dim": 3, **changes}
        )

    def fit(self, data=None, validation=None, **settings):
        return mv.fit(self.model(), self.data if data is None else data, validation, **{**FEW, **settings})

    def sample(self, label="ill", count=2, **settings):
        return self.synthesizer.sample(label, count, **settings)

    def write(self, counts=None, seed=0, **settings):
        return mv.write_samples(self.folder / "out", self.synthesizer, counts or {"ill": 2}, seed, {}, **settings)

    def tensors(self, samples=ROWS, labels=LABELS, modalities=ONE, **settings):
        return mv.MultimodalDataset.from_tensors(samples, labels, modalities, **settings)

    def of_items(self, *items, **settings):
        return mv.MultimodalDataset.from_dataset(list(items), ONE, **settings)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    torch.manual_seed(0)
    parts = {"blood": mv.Vector(size=3, hidden=8), "gait": mv.Vector(size=2, hidden=8)}
    samples = {"blood": torch.randn(24, 3), "gait": torch.randn(24, 2)}
    data = mv.MultimodalDataset.from_tensors(samples, ["ill", "well"] * 12, parts)
    vae = mv.MultimodalVAE(parts, ["ill", "well"], "poe", latent_dim=3, seed=0).eval()
    return World(data, vae, tmp_path_factory.mktemp("mistakes"))


SETTING, DATA, RUN, SAMPLER = mv.ConfigurationError, mv.DataError, mv.RunError, mv.SamplerError
MISTAKES = {
    # A model.
    "no modality": (SETTING, lambda w: w.model(modalities={})),
    "modalities as a list": (DATA, lambda w: w.model(modalities=[mv.Vector(size=1)])),
    "modalities as text": (DATA, lambda w: w.model(modalities="vector")),
    "modalities named by numbers": (SETTING, lambda w: w.model(modalities={1: mv.Vector(size=1)})),
    "a class for an instance": (SETTING, lambda w: w.model(modalities={"x": mv.Vector})),
    "a modality without its size": (SETTING, lambda w: w.model(modalities={"x": "vector"})),
    "no classes": (DATA, lambda w: w.model(classes=None)),
    "a number of classes": (DATA, lambda w: w.model(classes=2)),
    "classes as text": (DATA, lambda w: w.model(classes="ab")),
    "a class twice": (SETTING, lambda w: w.model(classes=["ill", "ill"])),
    "a latent of 0": (SETTING, lambda w: w.model(latent_dim=0)),
    "a latent of 1.5": (SETTING, lambda w: w.model(latent_dim=1.5)),
    "a latent of True": (SETTING, lambda w: w.model(latent_dim=True)),
    "a latent as text": (SETTING, lambda w: w.model(latent_dim="4")),
    "a huge latent": (SETTING, lambda w: w.model(latent_dim=10**15)),
    "a fusion as a number": (SETTING, lambda w: w.model(fusion=3)),
    "a fusion as a metric loss": (SETTING, lambda w: w.model(metric_loss=mv.PoE())),
    "an objective as text": (DATA, lambda w: w.model(objective="sum")),
    "a negative weight": (SETTING, lambda w: w.model(objective={"kl_weight": -1})),
    "a seed as text": (SETTING, lambda w: w.model(seed="one")),
    "a seed of -1": (SETTING, lambda w: w.model(seed=-1)),
    # Its use.
    "encode a tensor": (DATA, lambda w: w.vae.encode(torch.zeros(2, 3))),
    "encode None": (DATA, lambda w: w.vae.encode(None)),
    "encode a path": (DATA, lambda w: w.vae.encode("manifest.csv")),
    "encode nothing": (DATA, lambda w: w.vae.encode({})),
    "encode text": (DATA, lambda w: w.vae.encode({"blood": "abc"})),
    "encode a number": (DATA, lambda w: w.vae.encode({"blood": 3})),
    "encode None as samples": (DATA, lambda w: w.vae.encode({"blood": None})),
    "encode one sample": (DATA, lambda w: w.vae.encode({"blood": torch.zeros(3)})),
    "encode complex numbers": (DATA, lambda w: w.vae.encode({"blood": torch.zeros(2, 3) * 1j})),
    "encode a sparse tensor": (DATA, lambda w: w.vae.encode({"blood": torch.zeros(2, 3).to_sparse()})),
    "encode a tensor without values": (DATA, lambda w: w.vae.encode({"blood": torch.zeros(2, 3, device="meta")})),
    "encode other data": (DATA, lambda w: w.vae.encode(w.tensors())),
    "encode in batches of 0": (SETTING, lambda w: w.vae.encode(w.data, 0)),
    "encode in batches of 1.5": (SETTING, lambda w: w.vae.encode(w.data, 1.5)),
    "embed in batches of -1": (SETTING, lambda w: w.vae.embed(w.data, -1)),
    "embed None": (DATA, lambda w: w.vae.embed(None)),
    "decode in batches of 0": (SETTING, lambda w: w.vae.generate(torch.zeros(2, 3), 0)),
    "decode a posterior": (DATA, lambda w: w.vae.generate(w.vae.encode(w.data))),
    "translate to a list": (SETTING, lambda w: w.vae.translate(w.data, ["gait"])),
    "translate to None": (SETTING, lambda w: w.vae.translate(w.data, None)),
    "translate with 1.5 draws": (SETTING, lambda w: w.vae.translate(w.data, "gait", draws=1.5)),
    "translate with True draws": (SETTING, lambda w: w.vae.translate(w.data, "gait", draws=True)),
    "interpolate in text": (SETTING, lambda w: w.vae.interpolate(w.pair, "3")),
    "interpolate in 2.5 steps": (SETTING, lambda w: w.vae.interpolate(w.pair, 2.5)),
    "interpolate nothing": (DATA, lambda w: w.vae.interpolate(w.empty)),
    "reconstruct None": (DATA, lambda w: w.vae.reconstruct(None)),
    "draw -1 latents": (SETTING, lambda w: w.vae.encode(w.data).sample(-1)),
    # Synthesis.
    "no model": (DATA, lambda _: mv.Synthesizer(None)),
    "a model by its path": (DATA, lambda _: mv.Synthesizer("run")),
    "a sampler as a number": (SETTING, lambda w: mv.Synthesizer(w.vae, 3)),
    "fit to tensors": (DATA, lambda w: mv.Synthesizer(w.vae).fit(torch.zeros(3, 3))),
    "fit to nothing": (SAMPLER, lambda w: mv.Synthesizer(w.vae).fit(w.empty)),
    "sample before fitting": (SAMPLER, lambda w: mv.Synthesizer(w.vae).sample("ill", 2)),
    "an unknown class": (SAMPLER, lambda w: w.sample("sick")),
    "an unknown class by number": (SAMPLER, lambda w: w.sample(7)),
    "no class": (SETTING, lambda w: w.sample(None)),
    "several classes": (SETTING, lambda w: w.sample(["ill", "well"])),
    "-1 samples": (SETTING, lambda w: w.sample(count=-1)),
    "1.5 samples": (SETTING, lambda w: w.sample(count=1.5)),
    "True samples": (SETTING, lambda w: w.sample(count=True)),
    "samples as text": (SETTING, lambda w: w.sample(count="3")),
    "no number of samples": (SETTING, lambda w: w.sample(count=None)),
    "too many samples": (SETTING, lambda w: w.sample(count=10**15)),
    "a temperature that is no number": (SETTING, lambda w: w.sample(temperature=math.nan)),
    "a temperature as text": (SETTING, lambda w: w.sample(temperature="hot")),
    "a negative temperature": (SETTING, lambda w: w.sample(temperature=-1)),
    "a quantile of 1": (SETTING, lambda w: w.sample(min_quantile=1)),
    "a quantile as text": (SETTING, lambda w: w.sample(min_quantile="low")),
    "a seed of 1.5": (SETTING, lambda w: w.sample(seed=1.5)),
    "an unknown noise": (SETTING, lambda w: w.sample(noise="loud")),
    "noise as a truth value": (SETTING, lambda w: w.vae.generate(torch.zeros(2, 3), noise=True)),
    "an unknown prior": (SETTING, lambda w: w.synthesizer.classify(w.data, "even")),
    "a prior as a list": (SETTING, lambda w: w.synthesizer.classify(w.data, [0.5, 0.5])),
    "classify samples as latents": (DATA, lambda w: w.synthesizer.classify(torch.zeros(2, 2))),
    "classify None": (DATA, lambda w: w.synthesizer.classify(None)),
    "save nowhere": (SETTING, lambda w: w.synthesizer.save(None)),
    "save without a folder": (RUN, lambda w: w.synthesizer.save(w.folder / "no" / "s.safetensors")),
    "load nothing": (RUN, lambda w: mv.Synthesizer.load(w.folder / "no", w.vae)),
    "write 0 samples": (SETTING, lambda w: w.write({"ill": 0})),
    "write -1 samples": (SETTING, lambda w: w.write({"ill": -1})),
    "write 1.5 samples": (SETTING, lambda w: w.write({"ill": 1.5})),
    "write a number of samples": (DATA, lambda w: w.write(5)),
    "write a list of classes": (DATA, lambda w: w.write(["ill"])),
    "write with no seed": (SETTING, lambda w: w.write(seed=None)),
    "write an unknown class": (SAMPLER, lambda w: w.write({"sick": 2})),
    "translate nothing to files": (DATA, lambda w: write_translations(w.folder / "t", w.vae, w.empty, "gait", {})),
    "interpolate to files": (SETTING, lambda w: write_interpolation(w.folder / "t", w.vae, w.pair, 1.5, {})),
    # Training.
    "train on nothing": (DATA, lambda w: w.fit(w.empty)),
    "train on a list": (DATA, lambda w: w.fit([1, 2])),
    "train no model": (DATA, lambda w: mv.fit(None, w.data, **FEW)),
    "train on other data": (DATA, lambda w: w.fit(w.tensors())),
    "train on one sample": (DATA, lambda w: w.fit(w.data.subset([0]))),
    "validate on other data": (DATA, lambda w: w.fit(validation=w.tensors())),
    "validate on a list": (DATA, lambda w: w.fit(validation=[1])),
    "0 epochs": (SETTING, lambda w: w.fit(epochs=0)),
    "an unknown setting": (SETTING, lambda w: w.fit(epoch=1)),
    "batches of 1": (SETTING, lambda w: w.fit(per_class=1)),
    "batches beyond the data": (DATA, lambda w: w.fit(per_class=10**12)),
    "a learning rate that is no number": (SETTING, lambda w: w.fit(learning_rate=math.nan)),
    "the device gpu": (SETTING, lambda w: w.fit(device="gpu")),
    "the device None": (SETTING, lambda w: w.fit(device=None)),
    "an unknown logger": (mv.PluginError, lambda w: w.fit(loggers=["jsn"])),
    "a run as a number": (SETTING, lambda w: w.fit(out=3)),
    "a configuration as a table": (DATA, lambda w: w.fit(configuration={})),
    # Runs and configurations.
    "open None": (SETTING, lambda _: mv.open_run(None)),
    "open nothing": (SETTING, lambda _: mv.open_run("")),
    "open a missing folder": (RUN, lambda w: mv.open_run(w.folder / "no")),
    "open a name with a zero": (SETTING, lambda _: mv.open_run("a\0b")),
    "read no configuration": (SETTING, lambda _: mv.Configuration.read(None)),
    "read a folder": (SETTING, lambda w: mv.Configuration.read(w.folder)),
    "an empty configuration": (SETTING, lambda _: mv.Configuration()),
    "a configuration of nonsense": (SETTING, lambda _: mv.Configuration(modalities=ONE, training=3)),
    # Data.
    "no manifest": (SETTING, lambda _: mv.MultimodalDataset.from_manifest(None, ONE)),
    "a folder as manifest": (DATA, lambda w: mv.MultimodalDataset.from_manifest(w.folder, ONE)),
    "no archive": (SETTING, lambda _: mv.MultimodalDataset.from_npz(None, ONE)),
    "a list of modalities": (DATA, lambda w: w.tensors(modalities=["x"])),
    "samples without names": (DATA, lambda w: w.tensors(torch.zeros(4, 3))),
    "samples of None": (DATA, lambda w: w.tensors({"x": None})),
    "ragged samples": (DATA, lambda w: w.tensors({"x": [[1, 2], [3]]})),
    "samples of text": (DATA, lambda w: w.tensors({"x": [["a"] * 3] * 4})),
    "no labels": (DATA, lambda w: w.tensors(labels=None)),
    "labels as text": (DATA, lambda w: w.tensors(labels="abab")),
    "too few labels": (DATA, lambda w: w.tensors(labels=[0])),
    "one-hot labels": (DATA, lambda w: w.tensors(labels=torch.eye(4))),
    "classes as a number": (DATA, lambda w: w.tensors(classes=2)),
    "ids as a number": (DATA, lambda w: w.tensors(ids=3)),
    "patients of another length": (DATA, lambda w: w.tensors(patients=["p"])),
    "a mask of another shape": (DATA, lambda w: w.tensors(present=torch.ones(4))),
    "a mask as text": (DATA, lambda w: w.tensors(present="all")),
    "no items": (DATA, lambda w: w.of_items()),
    "items of pairs": (DATA, lambda w: w.of_items((torch.zeros(3), 0))),
    "items of None": (DATA, lambda w: w.of_items({**ITEM, "x": None})),
    "items of several labels": (DATA, lambda w: w.of_items({**ITEM, "label": [0, 1]})),
    "a label out of range": (DATA, lambda w: w.of_items({**ITEM, "label": 5}, classes=["a"])),
    "a missing folder for items": (DATA, lambda w: w.of_items(ITEM, folder=w.folder / "no")),
    "a data set of None": (DATA, lambda _: mv.MultimodalDataset.from_dataset(None, ONE)),
    "a row out of range": (DATA, lambda w: w.data.subset([99])),
    "a row as text": (DATA, lambda w: w.data.subset(["a"])),
    "a row of 1.5": (DATA, lambda w: w.data.subset([1.5])),
    "rows as a mask": (DATA, lambda w: w.data.subset(w.data.labels == 0)),
    "rows as a list of booleans": (DATA, lambda w: w.data.subset([True, False] * 12)),
    "a class by number": (SETTING, lambda w: w.data.of_class(0)),
    "a sample by number": (SETTING, lambda w: w.data.named(0)),
    "modalities in a list": (SETTING, lambda w: w.data.only(["gait"])),
    "shares as text": (SETTING, lambda w: w.data.split("most", "some", "few")),
    "shares that are no numbers": (DATA, lambda w: w.data.split(math.nan, 0, 1)),
    "a split of two lengths": (DATA, lambda _: split_by_patient(["a"], [0, 1], [1.0], 0)),
    # Functions of arrays.
    "1.5 folds": (SETTING, lambda _: held_out_likelihood(mv.Prior(), PAIR, [0, 0], ["a", "b"], ["x"], 1.5)),
    "labels beyond the classes": (DATA, lambda _: held_out_likelihood(mv.Prior(), PAIR, [0, 7], ["a", "b"], ["x"], 2)),
    "latents as an array": (SAMPLER, lambda _: mv.KDE().fit(np.zeros((5, 2)))),
    "latents of whole numbers": (SAMPLER, lambda _: mv.ShrunkGaussian().fit(torch.arange(6).reshape(3, 2))),
    "latents of no dimension": (SAMPLER, lambda _: mv.GMM().fit(torch.zeros(5, 0))),
    "no latents": (SAMPLER, lambda _: mv.Prior().fit(None)),
    "real labels": (DATA, lambda _: LabeledSamples(ROWS, torch.zeros(4))),
    "labels in a list": (DATA, lambda _: LabeledSamples(ROWS, LABELS)),
    "a judge of nothing": (DATA, lambda _: train_judge(None, ["a"])),
    "a judge of another modality": (DATA, lambda _: train_judge(JUDGED, ["a", "b"], ["y"])),
    "a judge of 0 epochs": (SETTING, lambda _: train_judge(JUDGED, ["a", "b"], epochs=0)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(world, name):
    kind, call = MISTAKES[name]
    with pytest.raises(kind) as caught:
        call(world)
    said = str(caught.value)
    assert said
    assert "\n" not in said
    assert len(said) < 700
    assert not list(world.folder.iterdir())


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "meta", "xla", "hpu", "vulkan", "cuda:99", "cpu:x", "cpu cuda"])
def test_a_device_that_cannot_be_used_is_named(name):
    with pytest.raises(mv.ConfigurationError, match=r"device '.*' cannot be used: .*; give cpu, cuda, mps or auto"):
        find_device(name)


def test_what_people_may_mean_works(world):
    numbered = mv.MultimodalDataset.from_tensors({"x": torch.randn(8, 3)}, LABELS * 2, ONE)
    vae = mv.MultimodalVAE(numbered.modalities, [0, 1], latent_dim=2, seed=0).eval()
    synthesizer = mv.Synthesizer(vae).fit(numbered)
    expected = synthesizer.sample("1", np.int64(2), seed=0)["x"]
    for label in (1, np.int64(1)):
        assert torch.equal(synthesizer.sample(label, 2, seed=0)["x"], expected)
    mv.write_samples(str(world.folder / "out"), synthesizer, {0: 1, 1: 2}, 0, {})
    written = mv.MultimodalDataset.from_manifest(world.folder / "out" / "manifest.csv", ONE, cache=False)
    assert written.labels.tolist() == [0, 1, 1]
    for path in (world.folder / "out").iterdir():
        path.unlink()
    (world.folder / "out").rmdir()
    synthesizer.save(str(world.folder / "s.safetensors"))
    assert mv.Synthesizer.load(str(world.folder / "s.safetensors"), vae).fitted_on == {"0": 4, "1": 4}
    (world.folder / "s.safetensors").unlink()
    by_latents = synthesizer.classify(vae.encode(numbered).mean)
    for samples in (numbered, vae.encode(numbered), {"x": numbered.samples["x"]}, by_latents.new_tensor([[0.0, 0.0]])):
        assert synthesizer.classify(samples).shape[1] == 2
    assert torch.equal(synthesizer.classify(numbered), by_latents)
    assert torch.equal(synthesizer.classify(vae.encode(numbered)), by_latents)
    assert numbered.subset(np.arange(2)).ids == numbered.subset(torch.arange(2)).ids == ["0", "1"]


def test_arguments_are_checked_against_their_annotations():
    @checked
    def take(count: int, *names: str, share: float = 1.0, place: str | Path = "here", **others: int) -> object:
        return count, names, share, place, others

    assert take(np.int64(3), "a", "b", share=1, other="x") == (3, ("a", "b"), 1, "here", {"other": "x"})
    assert take(1, place="there")[3] == Path("there")
    for arguments, said in (
        ({"count": 1.0}, "count is 1.0; give a whole number"),
        ({"count": True}, "count is True; give a whole number"),
        ({"count": 1, "share": "all"}, "share is 'all'; give a number"),
        ({"count": 1, "place": 3}, "place is 3; give text or a path"),
        ({"count": 1, "place": "a\0b"}, "place is 'a.x00b'; give text or a path"),
    ):
        with pytest.raises(mv.ConfigurationError, match=said):
            take(**arguments)
    with pytest.raises(mv.ConfigurationError, match="names is 3; give text"):
        take(1, "a", 3)
    with pytest.raises(TypeError, match="missing a required argument"):
        take()
