"""A saved model is the same model, and a file that is none is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.files import read_tensors, write_tensors

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
MODALITIES = st.sampled_from(
    [
        mv.Vector(size=2, hidden=4),
        mv.Counts(size=3, hidden=4),
        mv.Categorical(categories=["left", "right"], hidden=4),
        mv.Image(size=(4, 8), channels=1, width=4),
    ]
)
FUSIONS = st.sampled_from(["concat", "poe", "mvtcae", "mopoe", {"name": "mmvaeplus", "private": 1}])
LOSSES = st.sampled_from(["triplet", "center", "proxy_anchor", {"name": "triplet", "margin": 0.5}])
COVARIATES = [{"name": "site", "kind": "word", "values": ["A", "B"]}, {"name": "age", "kind": "number"}]


class Quiet(mv.MetricLoss):
    """A class of this session."""

    def __init__(self, factor: float = 0.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.factor * latents.sum()


@pytest.fixture
def vae():
    return mv.MultimodalVAE({"blood": mv.Vector(size=3, hidden=4)}, ["ill", "well"], latent_dim=2, seed=0)


@pytest.fixture
def written(vae, tmp_path):
    path = tmp_path / "model.safetensors"
    vae.save(path)
    return path


@settings(max_examples=15)
@given(
    modalities=st.dictionaries(NAMES, MODALITIES, min_size=1, max_size=2),
    classes=st.lists(NAMES, min_size=2, max_size=3, unique=True),
    fusion=FUSIONS,
    loss=LOSSES,
    covariates=st.sampled_from([[], COVARIATES]),
    reduction=st.sampled_from(["calibrated", "sum", "mean"]),
    seed=st.one_of(st.none(), st.integers(0, 9)),
)
def test_a_model_that_is_read_is_the_one_that_was_written(
    tmp_path_factory, modalities, classes, fusion, loss, covariates, reduction, seed
):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    objective = {"reduction": reduction, "kl_weight": 0.25}
    vae = mv.MultimodalVAE(modalities, classes, fusion, loss, 4, objective, seed, covariates)
    with torch.no_grad():
        for x in (*vae.parameters(), *vae.buffers()):
            if x.is_floating_point():
                x.uniform_(0.1, 0.9)
    vae.save(path)
    before = torch.get_rng_state()
    again = mv.MultimodalVAE.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.configuration, again.seed, again.training) == (vae.configuration, seed, False)
    assert repr(again) == repr(vae)
    state = vae.state_dict()
    assert list(again.state_dict()) == list(state)
    assert all(torch.equal(x, state[name]) for name, x in again.state_dict().items())
    latents = torch.randn(3, 4)
    values = dict.fromkeys(each["name"] for each in covariates)
    generated = (each.eval().generate(latents, covariates=values) for each in (vae, again))
    assert all(torch.equal(x, y) for x, y in zip(*(each.values() for each in generated), strict=True))
    content = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == content


def test_a_run_has_its_model_as_such_a_file(trained):
    loaded, opened = mv.MultimodalVAE.load(trained / "model.safetensors"), mv.open_run(trained).model
    assert loaded.configuration == opened.configuration
    assert all(torch.equal(x, opened.state_dict()[name]) for name, x in loaded.state_dict().items())


@settings(max_examples=40)
@given(data=st.data())
def test_a_file_that_is_cut_or_changed_is_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    mv.MultimodalVAE({"blood": mv.Vector(size=3, hidden=4)}, ["a", "b"], latent_dim=2, seed=0).save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(mv.RunError, match=r"^.*cut\.safetensors.*$"):
        mv.MultimodalVAE.load(path)


def test_other_files_are_named_with_what_they_are_not(tmp_path, vae):
    path = tmp_path / "x.safetensors"
    with pytest.raises(mv.RunError, match=r"there is no file .*x\.safetensors"):
        mv.MultimodalVAE.load(path)
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    torch.save(vae.state_dict(), tmp_path / "x.pt")
    for name in ("x.npz", "x.pt"):
        with pytest.raises(mv.RunError, match=rf"{name} is not a complete safetensors file"):
            mv.MultimodalVAE.load(tmp_path / name)
    write_tensors(path, vae.state_dict(), {"format": "multimodal_vae model"})  # weights alone
    with pytest.raises(mv.RunError, match=r"holds no model: its header has no settings; give a file that"):
        mv.MultimodalVAE.load(path)
    with pytest.raises(mv.RunError, match="cannot be written"):
        vae.save(tmp_path / "none" / "model.safetensors")


def rewrite(path: Path, tensors=None, **changes):
    """Write a model's file anew, with other settings or weights and a checksum that fits."""
    stored, metadata = read_tensors(path)
    described = json.loads(metadata["model"])
    described["configuration"] |= changes
    write_tensors(path, tensors or stored, metadata | {"model": json.dumps(described)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent_dim": 10**12}, "too few for latent_dim"),
        ({"latent_dim": 3}, "does not match the settings in its header"),
        ({"latent_dim": "x"}, "holds no model: configuration.latent_dim"),
        ({"surplus": 1}, "holds no model: configuration.surplus"),
        ({"classes": ["a", "a"]}, "are not distinct"),
        ({"fusion": {"name": "none"}}, "there is no fusion 'none'"),
        ({"fusion": {"name": "poe", "none": 1}}, "has no setting 'none'"),
    ],
)
def test_settings_that_fit_no_model_are_refused(written, changes, said):
    rewrite(written, **changes)
    with pytest.raises(mv.MultimodalVAEError, match=said) as caught:
        mv.MultimodalVAE.load(written)
    assert str(caught.value).startswith(str(written))


def test_weights_that_are_not_finite_are_refused(written, vae):
    rewrite(written, {name: torch.full_like(x, torch.nan) for name, x in vae.state_dict().items()})
    with pytest.raises(mv.RunError, match=r"model\.safetensors: .*not finite"):
        mv.MultimodalVAE.load(written)


def test_a_class_of_another_session_is_named_and_how_to_pass_it(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    path = tmp_path / "model.safetensors"
    mv.MultimodalVAE({"blood": mv.Vector(size=3)}, ["a", "b"], metric_loss=Quiet(0.5), latent_dim=2).save(path)
    with pytest.raises(mv.PluginError, match=r"the class .*Quiet, .*pass it: MultimodalVAE\.load\(\.\.\., parts=\[Q"):
        mv.MultimodalVAE.load(path)
    assert mv.MultimodalVAE.load(path, parts=[Quiet]).metric_loss.factor == 0.5
    assert mv.MultimodalVAE.load(path).metric_loss.factor == 0.5  # it is registered now
