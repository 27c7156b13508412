"""AnnData and MuData in and out, against what anndata and mudata themselves read."""

import anndata
import h5py
import mudata
import numpy as np
import pandas
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix
from typer.testing import CliRunner

import multimodal_vae as mv
from multimodal_vae.run import train_run
from multimodal_vae.testing import parametrize_with_checks
from multimodal_vae_omics import Omics, most_variable, prepare, to_anndata, to_mudata
from multimodal_vae_omics.cli import app

PARTS = [Omics(variables=["a", "b", "c"], hidden=16), Omics(variables=["a"], distribution="presence", hidden=16)]


@parametrize_with_checks(PARTS)
def test_laws(part, check):
    check(part)


def cells(count=24, genes=12, seed=0):
    rng = np.random.default_rng(seed)
    types = np.arange(count) % 2
    means = np.where(np.arange(genes) % 6 == types[:, None], 40, 2)
    obs = pandas.DataFrame(
        {"cell type": np.array(["B", "T"])[types], "donor": [f"d{n // 2}" for n in range(count)]},
        index=[f"cell/{n} x" for n in range(count)],
    )
    var = pandas.DataFrame(index=[f"g{n}" for n in range(genes)])
    return anndata.AnnData(csr_matrix(rng.poisson(means).astype(np.float32)), obs, var)


@pytest.fixture
def place(tmp_path):
    adata = cells()
    adata.layers["counts"] = adata.X.toarray()
    adata.write(tmp_path / "cells.h5ad")
    return tmp_path


@pytest.mark.parametrize("layer", [None, "counts"], ids=["sparse", "dense layer"])
def test_rows_are_those_that_anndata_reads(place, layer):
    part = Omics(variables=["g7", "g0", "g3"], layer=layer)
    expected = anndata.read_h5ad(place / "cells.h5ad")[:, ["g7", "g0", "g3"]].X.toarray()
    for row, name in enumerate(cells().obs_names):
        np.testing.assert_array_equal(part.read(place / f"cells.h5ad#{name}"), expected[row])
    presence = Omics(variables=["g7"], layer=layer, distribution="presence")
    assert presence.read(place / "cells.h5ad#cell/0 x") == (expected[0, 0] > 0)


def test_a_file_becomes_a_run_and_its_samples_anndata(place):
    result = CliRunner().invoke(
        app, ["prepare", str(place / "cells.h5ad"), "--label", "cell type", "--patient", "donor", "--features", "4"]
    )
    assert result.exit_code == 0, result.output
    recipe = mv.Configuration.read(place / "cells.toml")
    assert recipe.modalities["counts"].variables == ["g0", "g1", "g6", "g7"]  # those whose means differ
    data = mv.MultimodalDataset.from_manifest(place / "cells.csv", recipe.modalities)
    assert data.classes == ["B", "T"]
    assert len({*data.patients}) == 12
    train, _, _ = data.split_as_given()
    whole = anndata.read_h5ad(place / "cells.h5ad")
    np.testing.assert_array_equal(
        train.samples["counts"], whole[train.ids, recipe.modalities["counts"].variables].X.toarray()
    )
    back = to_anndata(data, "counts")
    assert back.obs["label"].tolist() == whole.obs["cell type"].tolist()
    assert back.var_names.tolist() == ["g0", "g1", "g6", "g7"]
    np.testing.assert_array_equal(back.X.toarray() if hasattr(back.X, "toarray") else back.X, data.samples["counts"])


def test_two_assays_become_two_modalities_and_come_back(tmp_path):
    rna, protein = cells(), cells(20, 3, seed=1)
    protein.var_names = ["p0", "p1", "p2"]
    with mudata.set_options(pull_on_update=False):
        mudata.MuData({"rna": rna, "protein": protein}).write(tmp_path / "both.h5mu")
    recipe = mv.Configuration.read(prepare(tmp_path / "both.h5mu", "cell type", features=5))
    data = mv.MultimodalDataset.from_manifest(tmp_path / "both.csv", recipe.modalities)
    assert dict(zip(data.modalities, data.present.sum(0).tolist(), strict=True)) == {"rna": 24, "protein": 20}
    assert data.modalities["protein"].variables == ["p0", "p1", "p2"]
    back = to_mudata(data)
    assert back["protein"].n_obs == 20
    np.testing.assert_array_equal(np.asarray(back["protein"].X), protein.X.toarray())
    assert back.obs["label"].tolist() == rna.obs["cell type"].tolist()


def test_generated_samples_are_exported(place):
    path = prepare(place / "cells.h5ad", "cell type", features=3)
    path.write_text(f"{path.read_text()}\n[training]\nsteps = 2\ndevice = 'cpu'\n")
    recipe = mv.Configuration.read(path)
    run = train_run(recipe, place / "run", show=False)
    mv.write_samples(place / "new", run.synthesizer("gaussian"), {"B": 3, "T": 2}, 0, {})
    result = CliRunner().invoke(app, ["export", str(place / "run"), str(place / "new"), str(place / "new.h5ad")])
    assert result.exit_code == 0, result.output
    new = anndata.read_h5ad(place / "new.h5ad")
    assert new.obs["label"].tolist() == ["B"] * 3 + ["T"] * 2
    assert new.var_names.tolist() == recipe.modalities["counts"].variables
    assert (np.asarray(new.X) % 1 == 0).all()


def test_planted_features_are_chosen_by_both_criteria_and_from_any_order_of_rows():
    rng = np.random.default_rng(0)
    means = np.tile(rng.uniform(1, 50, 200), (300, 1))
    planted = rng.choice(200, 10, replace=False)
    means[:, planted] *= np.where(np.arange(300) % 2, 1.9, 0.1)[:, None]
    rows = rng.poisson(means).astype(np.float32)
    for by in ("dispersion", "variance"):
        chosen = most_variable(rows, 10, by)
        assert len({*chosen} & {*planted}) >= 9
        np.testing.assert_array_equal(chosen, most_variable(rows[::-1], 10, by))
    assert 199 not in most_variable(np.where(np.arange(200) == 199, 0, rows), 199)


def spoiled(place, change):
    with h5py.File(place / "cells.h5ad", "a") as file:
        change(file)
    return place / "cells.h5ad#cell/0 x"


def external(file):
    del file["X"]
    file["X"] = h5py.ExternalLink("other.h5ad", "X")


def too_long(file):
    file["X/indptr"][1] = 2**30


def too_many(file):
    name = file["obs"].attrs["_index"]
    del file["obs"][name]
    file["obs"].create_dataset(name, (2**23,), h5py.string_dtype(), chunks=(1024,))


def outside(file):
    file["X/indices"][0] = 99


def columns_first(file):
    anndata.io.write_elem(file, "X", csc_matrix(cells().X))


def halves(file):
    file["X/data"][:] = 0.5


MISTAKES = {
    "no observations": (lambda place: place / "cells.h5ad", "no observation ''; write file.h5ad#observation"),
    "another": (lambda place: place / "cells.h5ad#cell/0", "no observation 'cell/0'.*did you mean 'cell/0 x'"),
    "by columns": (lambda place: spoiled(place, columns_first), "stored by columns; .*tocsr"),
    "a link": (lambda place: spoiled(place, external), "has no 'X' of its own"),
    "a long row": (lambda place: spoiled(place, too_long), "more values than there are features"),
    "too many names": (lambda place: spoiled(place, too_many), "is damaged: it claims 8388608 names in 'obs'"),
    "a wrong column": (lambda place: spoiled(place, outside), "no readable .h5ad"),
    "no counts": (lambda place: spoiled(place, halves), "holds 0.5, which is no raw count; name the layer"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_cells_are_one_line(place, mistake):
    make, message = mistake
    with pytest.raises(mv.DataError, match=message):
        Omics(variables=["g0", "g1"]).read(make(place))


def test_other_mistakes_are_one_line(place, tmp_path):
    with pytest.raises(mv.DataError, match="lacks 1 of 2 features, such as 'G1'"):
        Omics(variables=["g0", "G1"]).read(place / "cells.h5ad#cell/0 x")
    with pytest.raises(mv.DataError, match="has no layer 'raw'"):
        Omics(variables=["g0"], layer="raw").read(place / "cells.h5ad#cell/0 x")
    with pytest.raises(mv.ConfigurationError, match="not unique"):
        Omics(variables=["g0", "g0"])
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(mv.DataError, match=r"text.h5ad is no readable .h5ad or .h5mu file"):
        prepare(tmp_path / "text.h5ad", "cell type")
    with pytest.raises(mv.DataError, match=r"there is no file"):
        prepare(tmp_path / "none.h5ad", "cell type")
    with pytest.raises(mv.DataError, match="has no column 'type' in obs"):
        prepare(place / "cells.h5ad", "type")
    data = mv.MultimodalDataset.from_tensors({"x": torch.zeros(1, 1, 8)}, ["a"], {"x": mv.Signal(length=8)})
    with pytest.raises(mv.DataError, match="only vectors fit AnnData"):
        to_anndata(data, "x")
    with pytest.raises(mv.DataError, match="only these fit MuData"):
        to_mudata(data)
