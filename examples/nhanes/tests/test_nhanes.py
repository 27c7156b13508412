"""Files of the form of NHANES, written by pyreadstat, become a manifest that a run reads."""

import numpy as np
import pandas as pd
import pytest

import multimodal_vae as mv

pyreadstat = pytest.importorskip("pyreadstat")
import nhanes  # noqa: E402  (beside the example)

PEOPLE = 24


def write(folder, name, frame):
    pyreadstat.write_xport(frame, str(folder / f"{name}.xpt"), table_name=name, file_format_version=5)


def exams(rng):
    types = np.resize(["Type A", "Type B", "Type C", "88888", "Type AS", ""], PEOPLE)
    content = {"SEQN": np.arange(PEOPLE) + 83732.0}
    for side in "RL":
        content |= {f"AUX{name}{side}": 5.0 * rng.integers(-2, 12, PEOPLE) for name in nhanes.THRESHOLDS}
        content |= {f"AUX{name}{side}": rng.uniform(0.2, 2, PEOPLE) for name in nhanes.MIDDLE_EAR}
        content[f"AUATYMT{side}"] = types
    for column in nhanes.OTOSCOPY.values():
        content |= dict.fromkeys(column.values(), 2.0)
    frame = pd.DataFrame(content)
    frame.loc[0, ["AUXU1K1R", "AUXTMEPR", "AUXU2KR"]] = [666, 555, np.nan]
    frame.loc[0, ["AUXU500R", "AUXU500L"]] = 0.0
    frame.loc[0, ["AUXROEXC", "AUXROIMC", "AUXOTSPL"]] = 1.0
    return frame


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    seqn = np.repeat(np.arange(PEOPLE) + 83732.0, 2)
    ear = np.tile([1.0, 2.0], PEOPLE)
    write(
        tmp_path,
        "DEMO_I",
        pd.DataFrame(
            {"SEQN": seqn[::2], "RIDAGEYR": 40.0 + np.arange(PEOPLE), "RIAGENDR": np.resize([1.0, 2.0], PEOPLE)}
        ),
    )
    write(tmp_path, "AUX_I", exams(rng))
    absorbance = rng.uniform(0, 1, (len(ear), nhanes.FREQUENCIES))
    absorbance[0, 3], absorbance[1, :60] = 1.2, -249.0
    columns = [f"WBXA{n:03d}" for n in range(1, nhanes.FREQUENCIES + 1)]
    frame = pd.DataFrame(absorbance, columns=columns)
    write(tmp_path, "AUXWBR_I", pd.concat([pd.DataFrame({"SEQN": seqn, "WBXFEAR": ear}), frame], axis=1))
    pressure = np.full((len(ear), nhanes.POINTS), np.nan)
    pressure[:, :130] = np.linspace(190, -290, 130)
    pressure[2] = np.where(pressure[2] < 0, np.nan, pressure[2])
    columns = [f"TYX{kind}{n:03d}" for kind in "PA" for n in range(1, nhanes.POINTS + 1)]
    frame = pd.DataFrame(np.concatenate([pressure, 1 + pressure / 1000], 1), columns=columns)
    write(tmp_path, "AUXTYM_I", pd.concat([pd.DataFrame({"SEQN": seqn, "TYXPEAR": ear}), frame], axis=1))
    return tmp_path


def test_the_files_become_one_row_per_ear(folder, capsys):
    nhanes.main([str(folder), str(folder / "nhanes.csv")])
    assert f"{2 * PEOPLE} ears of {PEOPLE} people" in capsys.readouterr().out
    ears = pd.read_csv(folder / "nhanes.csv", dtype=str, keep_default_na=False).set_index("sample_id")
    right, left = ears.loc["83732-right"], ears.loc["83732-left"]
    assert (right["label"], right["sex"], right["age"], right["cycle"]) == ("normal", "male", "40", "2015-2016")
    assert ears["label"].value_counts().to_dict() == {"normal": 16, "flat": 8, "negative pressure": 8, "": 16}
    assert (right["hz_500"], left["hz_500"]) == ("0", "0")  # a zero is one of SAS, not a missing number
    assert (right["hz_1000"], right["hz_2000"], right["pressure_dapa"]) == ("", "", "")  # codes and a missing number
    assert (right["otoscopy"], left["otoscopy"]) == ("impacted wax", "normal")
    absorbance = np.array(right["absorbance"].split(), float)
    assert (len(absorbance), absorbance[3]) == (nhanes.FREQUENCIES, 1)  # one artifact is clipped
    assert left["absorbance"] == ""  # a curve of artifacts is left out
    tympanogram = np.array(right["tympanogram"].split(), float)
    np.testing.assert_allclose(tympanogram, 1 + nhanes.PRESSURES / 1000, atol=1e-3)
    assert ears.loc["83733-right", "tympanogram"] == ""  # a sweep that ends at 0 daPa is not extrapolated


def test_the_recipe_reads_the_manifest_and_trains(folder):
    nhanes.main([str(folder), str(folder / "nhanes.csv")])
    recipe = mv.Configuration.read(nhanes.__file__.replace("nhanes.py", "nhanes.toml"))
    data = mv.MultimodalDataset.from_manifest(
        folder / "nhanes.csv", recipe.modalities, recipe.data.classes, cache=False, covariates=recipe.data.covariates
    )
    assert data.modalities["hearing"].columns == [f"hz_{hertz}" for hertz in nhanes.THRESHOLDS.values()]
    assert data.modalities["middle_ear"].types["otoscopy"].words == ("impacted wax", "normal")
    assert [each.name for each in data.covariate_types] == ["age", "sex"]
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, covariates=data.covariate_types, seed=0)
    new = mv.fit(vae, data, steps=1, device="cpu", show=False).reconstruct(data)
    assert ((new["absorbance"] >= 0) & (new["absorbance"] <= 1)).all()


def test_mistakes_are_one_line(folder):
    out = str(folder / "out.csv")
    with pytest.raises(SystemExit, match=r"has neither AUX_I.xpt nor AUX_J.xpt"):
        nhanes.main([str(folder / "nowhere"), out])
    (folder / "AUXTYM_I.xpt").unlink()
    with pytest.raises(SystemExit, match=r"there is no .*AUXTYM_I.xpt; download it"):
        nhanes.main([str(folder), out])
    (folder / "AUXWBR_I.xpt").write_bytes(b"<html>not found</html>")
    with pytest.raises(SystemExit, match=r"AUXWBR_I.xpt is no SAS transport file"):
        nhanes.main([str(folder), out])
    write(folder, "AUXWBR_I", pd.DataFrame({"SEQN": [1.0]}))
    with pytest.raises(SystemExit, match=r"has no column WBXFEAR"):
        nhanes.main([str(folder), out])
