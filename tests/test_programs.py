"""Exported programs compute what the model computes, in batches of any size, and hold nothing but numbers."""

import json
import sys
import zipfile

import pytest
import torch
from torch import nn

import multimodal_vae as mv
from multimodal_vae import registry

# Smaller than this difference of float32 values near 1: traced programs sum in another order where eager ones merge
# convolutions.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}

MODALITIES = {
    "image": mv.Image(size=(7, 8), channels=1, width=4, network="residual"),
    "volume": mv.Volume(size=(4, 7, 6), width=4, network_size=(2, 7, 3)),
    "signal": mv.Signal(length=32, width=4, hidden=8),
    "vector": mv.Vector(size=3, hidden=4),
    "table": mv.Table(
        {
            "age": "count",
            "sex": {"type": "binary", "words": ["f", "m"]},
            "crp": "positive",
            "fev": {"type": "real", "decimals": 2},
            "sat": "share",
            "grade": {"type": "ordinal", "words": ["low", "mid", "high"]},
            "site": {"type": "categorical", "words": ["A", "B", "C"]},
        },
        hidden=8,
    ),
    "categorical": mv.Categorical(["left", "right", "both"], hidden=8),
    "counts": mv.Counts(size=5, distribution="zero_inflated", hidden=8),
}
"""One instance of each modality of the core."""

ALIKE = {
    "otoscopy": {"name": "otoscopy", "size": 16, "width": 4},
    "wbt": {"name": "wbt", "size": [16, 16], "width": 4},
    "ecg": {"name": "ecg", "seconds": 1.0, "width": 4},
    "eeg": {"name": "eeg", "channels": ["C3", "C4"], "seconds": 1.0, "width": 4, "hidden": 8},
    "nifti": {"name": "nifti", "size": [4, 4, 4], "voxel": [6.0, 6.0, 6.0], "width": 4},
    "dicom": {"name": "dicom", "size": [8, 8], "width": 4},
}
"""Modalities of the plugins, which have the same networks as those above."""

LEFT_OUT = {"omics"}
"""Modalities that the environment of these tests does not have."""

FUSIONS = [
    mv.Concat(),
    mv.Concat(dropout=0.3),
    mv.PoE(),
    mv.MoE(),
    mv.MoPoE(),
    mv.MVTCAE(),
    mv.JMVAE(),
    mv.MMVAEPlus(private=2),
]


class Plain(mv.Modality):
    """Vectors with linear networks, which are traced fast."""

    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def shape(self):
        return (self.size,)

    def encoder(self):
        return nn.Linear(self.size, 4)

    def decoder(self, latent_dim):
        return nn.Linear(latent_dim, self.size)

    def reconstruction_loss(self, decoded, target):
        return (decoded - target).square().mean(1)


class DependsOnValues(Plain):
    def observe(self, decoded):
        return decoded if decoded.sum() > 0 else -decoded


def make(modalities=None, **settings):
    modalities = modalities or {"a": Plain(size=3), "b": Plain(size=2)}
    return mv.MultimodalVAE(modalities, ["ill", "well"], **{"latent_dim": 8, "seed": 0, **settings})


def load(folder):
    return [torch.export.load(folder / name).module() for name in ("encoder.pt2", "decoder.pt2")]


def expect_equal(vae, encoder, decoder, present, covariates=None):
    """Compare the programs with a model on random samples, whose absent rows the programs get as NaN."""
    torch.manual_seed(0)
    given = [] if covariates is None else [covariates]
    samples = {name: modality.examples(len(present)) for name, modality in vae.modalities.items()}
    absent = {
        name: torch.where(present[:, column].reshape(-1, *(1 for _ in x.shape[1:])), x, torch.nan)
        for column, (name, x) in enumerate(samples.items())
    }
    mean, logvar = encoder(absent, present, *given)
    for row, mask in enumerate(present.tolist()):
        part = {name: samples[name][[row]] for name, here in zip(samples, mask, strict=True) if here}
        posterior = vae.encode(part, covariates=None if covariates is None else covariates[[row]])
        torch.testing.assert_close(mean[[row]], posterior.mean, **TOLERANCE)
        torch.testing.assert_close(logvar[[row]], posterior.logvar, **TOLERANCE)
    latents = torch.randn(len(present), vae.latent_dim)
    decoded, expected = decoder(latents, *given), vae.generate(latents, covariates=covariates)
    assert list(decoded) == list(expected)
    for name, x in expected.items():
        torch.testing.assert_close(decoded[name], x, **TOLERANCE)


@pytest.mark.parametrize(
    "parts", [MODALITIES, pytest.param(ALIKE, marks=pytest.mark.combinations)], ids=["own", "alike"]
)
def test_every_installed_modality_is_exported(tmp_path, parts):
    installed = {entry.name for entry in registry.entries("modality")}
    assert installed <= {*MODALITIES, *ALIKE} | LEFT_OUT
    chosen = {name: part for name, part in parts.items() if name in installed}
    if not chosen:
        pytest.skip("none of them is installed")
    vae = make(chosen)
    programs = load(mv.export(vae, tmp_path / "out"))
    present = torch.rand(5, len(vae.modalities), generator=torch.Generator().manual_seed(1)) < 0.7
    expect_equal(vae, *programs, present)
    expect_equal(vae, *programs, torch.ones(1, len(vae.modalities), dtype=torch.bool))


@pytest.mark.parametrize("fusion", FUSIONS, ids=repr)
def test_every_fusion_is_exported(tmp_path, fusion):
    assert {part.name for part in FUSIONS} == {entry.name for entry in registry.entries("fusion")}
    vae = make(fusion=fusion)
    encoder, decoder = load(mv.export(vae, tmp_path / "out"))
    masks = [[True, True], [True, False], [False, True]]
    if fusion.name == "concat" and not fusion.dropout:
        samples = {name: part.examples(3) for name, part in vae.modalities.items()}
        mean, logvar = encoder(samples, torch.tensor(masks))
        missing = torch.tensor([False, True, True])
        assert torch.equal(mean.isnan().all(1), missing)
        assert torch.equal(logvar.isnan().any(1), missing)
        masks = masks[:1]
    expect_equal(vae, encoder, decoder, torch.tensor(masks))


def test_covariates_are_the_last_argument(tmp_path):
    typed = [{"name": "age", "kind": "number"}, {"name": "site", "kind": "word", "values": ["A", "B"]}]
    vae = make(covariates=typed)
    vae.conditions.measure(torch.tensor([[30.0, 0.0], [50.0, 1.0], [40.0, 1.0]]))
    folder = mv.export(vae, tmp_path / "out")
    given = torch.tensor([[33.0, 1.0], [torch.nan, 0.0]])
    expect_equal(vae, *load(folder), torch.tensor([[True, True], [True, False]]), given)
    assert json.loads((folder / "model.json").read_text("utf-8"))["covariates"] == typed


def test_the_files_hold_no_pickle_and_no_path_and_the_model_stays_as_it_was(tmp_path):
    vae = make().train()
    before = {name: x.clone() for name, x in vae.state_dict().items()}
    folder = mv.export(vae, tmp_path / "out")
    assert vae.training
    assert all(torch.equal(x, before[name]) for name, x in vae.state_dict().items())
    for file in ("encoder.pt2", "decoder.pt2"):
        with zipfile.ZipFile(folder / file) as archive:
            for each in archive.infolist():
                content = archive.read(each)
                assert not (each.filename.endswith((".pt", ".pkl")) and content), each.filename
                assert b'"use_pickle": true' not in content
                assert not any(path.encode() in content for path in (sys.prefix, str(tmp_path), mv.__path__[0]))
    weights = sum(x.numel() for x in vae.decoders.parameters())
    assert sum(x.numel() for x in load(folder)[1].parameters()) == weights


def test_code_that_depends_on_values_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(mv.ConfigurationError, match="the decoder cannot be exported: its code depends on values"):
        mv.export(make({"a": DependsOnValues(size=3)}), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(mv.RunError, match="already exists"):
        mv.export(make(), tmp_path)
