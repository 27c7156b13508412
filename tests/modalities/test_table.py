"""Tables: types of columns, missing entries, manifests, and what runs make of them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import multimodal_vae as mv
from multimodal_vae.modalities.column_types import TableColumn, complete
from multimodal_vae.nn.count_distribution import NegativeBinomial

COLUMNS = {
    "age": "count",
    "sex": {"type": "binary", "words": ["f", "m"]},
    "crp": {"type": "positive", "unit": "mg/l"},
    "fev": {"type": "real", "decimals": 2},
    "sat": "share",
    "grade": {"type": "ordinal", "words": ["low", "mid", "high"]},
    "site": {"type": "categorical", "words": ["A", "B", "C, D"]},
}


@pytest.fixture
def table():
    torch.manual_seed(0)
    return mv.Table(columns=COLUMNS, hidden=8)


def settled(**cells):
    """Return the table that guesses the types of some columns."""
    return mv.Table(columns=list(cells)).settle(cells)


GUESSED = {
    "real": (["-1.5", "2.25", "", "0"], {"type": "real", "decimals": 2}),
    "positive": (["0.1", "5", "70.5", "NA"], {"type": "positive", "decimals": 1}),
    "far from zero": (["170.5", "181", "177.2"], {"type": "real", "decimals": 1}),
    "whole": (["-3", "0", "12"], {"type": "real", "decimals": 0}),
    "large and whole": (["12", "70000", "350"], {"type": "positive", "decimals": 0}),
    "many digits": (["0.123456", "5.3e3", "17"], {"type": "positive"}),
    "share": (["0.25", "0", "1"], {"type": "share"}),
    "count": (["0", "3", "12", "7"], {"type": "count"}),
    "presence": (["0", "1", "1", ""], {"type": "binary", "words": ("0", "1")}),
    "codes": (["2", "1", "2", "1"], {"type": "binary", "words": ("1", "2")}),
    "grades": (["0", "3", "1", "1"], {"type": "ordinal", "words": ("0", "1", "2", "3")}),
    "two words": (["yes", "no", "no", "."], {"type": "binary", "words": ("no", "yes")}),
    "words": (["b", "a", "c", "b", "a", "c"], {"type": "categorical", "words": ("a", "b", "c")}),
}


@pytest.mark.parametrize("case", GUESSED)
def test_types_are_guessed(case):
    cells, expected = GUESSED[case]
    assert complete(None, cells).model_dump(exclude_none=True) == expected


def test_a_settled_table_stays_as_it_is(table):
    assert table.settle({"age": ["x"]}) is table
    found = settled(age=["41", "63"], hb=["12.5", "13.1"])
    assert found.settle({"age": ["1"]}).configuration == found.configuration


def test_words_of_a_typed_column_come_from_the_data():
    found = mv.Table(columns={"g*": "ordinal", "x": "real"}).settle({"x": ["1"], "g2": ["10", "9"], "g1": ["b", "a"]})
    assert found.types["g2"].words == ("9", "10")
    assert found.columns == ["g2", "g1", "x"]


def test_a_pattern_leaves_out_what_says_nothing():
    with pytest.warns(mv.MultimodalVAEWarning, match="2 columns are empty or constant, and left out: m_a, m_b"):
        found = mv.Table(columns=["m_*"]).settle({"m_a": ["1", "1"], "m_b": ["", "NA"], "m_c": ["1.5", "2.5"]})
    assert found.columns == ["m_c"]


def test_cells_are_read_and_written_in_the_columns_type(table):
    sample = table.read('61,m,0.25,,0.5,HIGH,"C, D"')
    assert np.array_equal(sample, [61, 1, 0.25, math.nan, 0.5, 2, 2], equal_nan=True)
    assert table.format(torch.from_numpy(sample)) == '61,m,0.25,,0.5,high,"C, D"'


def described(table, scale=1.0):
    """Return the distributions of three latents."""
    encoder, decoder = table.encoder(), table.decoder(4).eval()
    table.calibrate(encoder, decoder, table.examples(50))
    with torch.no_grad():
        return table.likelihood(decoder(scale * torch.randn(3, 4)))


def test_draws_have_the_columns_support(table):
    draws = described(table, 5.0).sample((300,)).flatten(0, 1)
    assert draws.shape == (900, 7)
    table.check(draws)
    assert torch.equal(draws[:, 3], draws[:, 3].round(decimals=2))
    for column, words in ((1, 2), (5, 3), (6, 3)):
        assert draws[:, column].unique().tolist() == list(range(words))


def test_densities_integrate_to_their_distribution_function():
    table = mv.Table(columns={"a": "positive", "b": "share", "c": "real"}, hidden=8)
    likelihood = described(table)
    low, high = (likelihood.icdf(torch.full((3, 3), level)) for level in (0.1, 0.9))
    steps = torch.linspace(0, 1, 1001)[:, None, None]
    x = low + (high - low) * steps
    density = torch.stack([likelihood.log_prob(each) for each in x]).exp()
    mass = torch.trapezoid(density, x, dim=0)
    assert torch.allclose(mass, torch.full((3, 3), 0.8), atol=5e-3)  # of the trapezoids


def test_probabilities_of_words_and_counts_sum_to_their_distribution_function(table):
    likelihood = described(table)
    for column, most in ((0, 60), (1, 1), (5, 2), (6, 2)):
        values = torch.zeros(most + 1, 3, len(COLUMNS))
        values[:, :, 2], values[:, :, 4] = 1.0, 0.5
        values[:, :, column] = torch.arange(most + 1)[:, None]
        total = torch.stack([likelihood.log_prob(each) for each in values]).exp().sum(0)[:, column]
        assert torch.allclose(total, likelihood.cdf(values[-1])[:, column], atol=1e-4)


def test_zeros_of_positive_columns_are_kept():
    table = mv.Table(columns={"crp": "positive"}, hidden=8)
    samples = torch.cat([torch.zeros(30, 1), torch.exp(torch.randn(70, 1))])
    encoder, decoder = table.encoder(), table.decoder(4)
    table.calibrate(encoder, decoder, samples)
    draws = table.draw(decoder(torch.randn(2000, 4)).detach())
    assert 0.05 < float((draws == 0).float().mean()) < 0.6
    assert float(draws[draws > 0].min()) > 0.4 * float(samples[samples > 0].min())


@pytest.mark.parametrize("mean", [0.5, 30.0, 4000.0])
@pytest.mark.parametrize("concentration", [0.3, 2.0, 800.0])
def test_counts_are_scipys(mean, concentration):
    ours = NegativeBinomial(torch.full((200,), mean), torch.full((200,), concentration))
    theirs = stats.nbinom(concentration, concentration / (concentration + mean))
    levels = torch.linspace(0.001, 0.999, 200)
    counts = ours.icdf(levels)
    near = theirs.ppf(levels.double())
    assert np.abs(counts.numpy() - near).max() <= 1  # where the level is that of a count, up to rounding
    assert np.mean(counts.numpy() != near) < 0.02
    assert np.allclose(ours.cdf(counts), theirs.cdf(counts.double()), atol=1e-5)
    assert np.allclose(ours.log_prob(counts), theirs.logpmf(counts.double()), rtol=1e-4, atol=1e-4)
    assert theirs.mean() == pytest.approx(float(ours.mean[0]), rel=1e-5)
    assert theirs.var() == pytest.approx(float(ours.variance[0]), rel=1e-5)


def losses(table, samples, seed=0):
    """Return features and loss of samples by networks of one seed."""
    torch.manual_seed(seed)
    encoder, decoder = table.encoder().eval(), table.decoder(4).eval()
    table.calibrate(encoder, decoder, samples)
    features = encoder(samples)
    return features, table.reconstruction_loss(decoder(features[:, :4]), samples)


def test_with_nothing_missing_the_masks_change_no_bit(table, monkeypatch):
    samples = table.examples(20)
    masked = losses(table, samples)
    monkeypatch.setattr(torch.Tensor, "isnan", lambda x: torch.zeros_like(x, dtype=torch.bool))
    for one, other in zip(masked, losses(table, samples), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cell", ["", "NA", "nan", "-", "#N/A"])
def test_however_a_missing_entry_is_written_no_bit_changes(table, cell):
    rows = ['61,m,0.25,1.5,0.5,high,"C, D"', "40,f,2,3.25,0.75,low,A", f"{cell},m,{cell},1.25,0.125,mid,A"]
    samples = torch.stack([torch.from_numpy(table.read(row)) for row in rows])
    reference = torch.from_numpy(table.read(",m,,1.25,0.125,mid,A"))
    for one, other in zip(
        losses(table, samples), losses(table, torch.cat([samples[:2], reference[None]])), strict=True
    ):
        assert torch.equal(one, other)


def write(folder, manifest, **joined):
    (folder / "manifest.csv").write_text(manifest, "utf-8")
    for name, text in joined.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    return folder / "manifest.csv"


MANIFEST = "sample_id,label,patient_id,sex,note\n" + "".join(
    f"s{i},{'ill' if i % 2 else 'well'},p{i // 2},{'fm'[i % 2]},n{i}\n" for i in range(12)
)
BLOOD = "patient_id,b_hb,b_crp\n" + "".join(f"p{i},{12 + i / 4},{'' if i == 2 else 2.5**i:.6}\n" for i in range(6))


def test_columns_come_from_the_manifest_and_joined_files(tmp_path):
    path = write(tmp_path, MANIFEST, blood=f"{BLOOD}p9,13,2\n")
    tables = {"blood": mv.Table(columns=["b_*"]), "person": mv.Table(columns=["sex"])}
    data = mv.MultimodalDataset.from_manifest(path, tables, join=["blood.csv"], cache=False)
    assert {name: part.columns for name, part in data.modalities.items()} == {
        "blood": ["b_hb", "b_crp"],
        "person": ["sex"],
    }
    assert {name: column.type for name, column in data.modalities["blood"].types.items()} == {
        "b_hb": "real",
        "b_crp": "positive",
    }
    blood = data.samples["blood"]
    assert torch.equal(blood[0], blood[1])
    assert blood[4:6].isnan().tolist() == [[False, True]] * 2
    assert data.metadata.keys() == {"note"}
    assert data.notes["blood.csv"] == {"rows without a sample in the manifest, left out": 1}


def test_a_row_that_a_joined_file_lacks_has_no_table(tmp_path):
    path = write(tmp_path, MANIFEST, blood="\n".join(BLOOD.split("\n")[:-3]))
    data = mv.MultimodalDataset.from_manifest(
        path, {"blood": mv.Table(columns=["b_*"]), "person": mv.Table(columns=["sex"])}, join=["blood.csv"], cache=False
    )
    assert data.present[:, 0].tolist() == [True] * 8 + [False] * 4


def test_a_type_without_settling_is_asked_for():
    with pytest.raises(mv.ConfigurationError, match="the types of hb are not known; give columns as a mapping"):
        mv.MultimodalVAE({"blood": mv.Table(columns=["hb"])}, ["a"])
    with pytest.raises(mv.ConfigurationError, match="a real column has no words"):
        mv.Table(columns={"hb": {"type": "real", "words": ["a", "b"]}})
    with pytest.raises(mv.ConfigurationError, match="the column 'hb' is given twice"):
        mv.Table(columns=["hb", "hb"])
    assert TableColumn.model_validate("share").type == "share"
