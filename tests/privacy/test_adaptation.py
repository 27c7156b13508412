"""A run adapted to other people: what is refused, what is written, what it spends, and what it gives away."""

import json
import shutil
import zlib
from pathlib import Path

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.data.split import split_independently
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.privacy import adaptation
from multimodal_vae.privacy.adaptation import adapt_run, spent_by
from multimodal_vae.privacy.budget import LEDGER
from multimodal_vae.privacy.run_audit import audit_run
from multimodal_vae.report.run_evaluation import measure
from multimodal_vae.run import train_run

TOML = """
[data]
manifest = "public.csv"
split = [0.6, 0.0, 0.4]
[modalities.blood]
name = "vector"
size = 3
hidden = 8
[modalities.sex]
name = "categorical"
categories = ["f", "m"]
[model]
latent_dim = 3
[training]
epochs = 1
per_class = 8
device = "cpu"
early_stopping = false
[density]
sampler = "gaussian"
"""


class Loud(mv.ShrunkGaussian):
    """A stand-in of a private sampler: it tells a guarantee, and counts how often it was fitted."""

    fits = 0

    def __init__(self, epsilon: float = 3.0) -> None:
        super().__init__()
        self.epsilon = epsilon

    @property
    def guarantee(self):
        return Guarantee(self.epsilon, 1e-5, "density")

    @property
    def fitted_on(self):
        return 77

    def fit_classes(self, classes, groups=None, reference=None):
        type(self).fits += 1
        type(self).given = classes, groups, reference
        return super().fit_classes(classes, groups, reference)


def write_clinic(path, prefix, shift=0.0, count=100, **changes):
    rng = torch.Generator().manual_seed(zlib.crc32(prefix.encode()))
    rows = ["sample_id,patient_id,label,blood,sex"]
    for number in range(count):
        blood = torch.randn(3, generator=rng) + 2 * (number % 2) + shift
        values = {
            "sample_id": f"{prefix}-s{number}",
            "patient_id": f"{prefix}-p{number // 2 * 2 + number % 2}",
            "label": ("well", "ill")[number % 2],
            "blood": " ".join(f"{x:.4f}" for x in blood.tolist()),
            "sex": "fm"[number // 3 % 2],
        }
        rows.append(",".join({**values, **changes.get(f"row{number}", {})}.values()))
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def _clinic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clinics")
    write_clinic(folder / "public.csv", "public")
    (folder / "recipe.toml").write_text(TOML, "utf-8")
    train_run(mv.Configuration.read(folder / "recipe.toml"), folder / "run", show=False)
    return folder


@pytest.fixture
def clinic(_clinic, tmp_path):
    """A trained run with its data, and a folder ``private`` with the manifest of other people."""
    folder = Path(shutil.copytree(_clinic, tmp_path / "clinic"))
    (folder / "private").mkdir()
    write_clinic(folder / "private" / "secret.csv", "secret", 1.0)
    Loud.fits = 0
    return folder


def adapt(clinic, out="adapted", manifest="secret.csv", epsilon=3.0, run="run", count=6):
    manifest = clinic / "private" / manifest
    return adapt_run(mv.open_run(clinic / run), manifest, Loud(epsilon), clinic / out, count=count)


def ledger(clinic):
    path = clinic / "private" / LEDGER
    return json.loads(path.read_text("utf-8")) if path.exists() else []


def refused(clinic, match, error=mv.DataError, **arguments):
    with pytest.raises(error, match=match):
        adapt(clinic, **arguments)
    assert not ledger(clinic)
    assert not Loud.fits
    assert {each.name for each in clinic.iterdir()} >= {"run", "private"}
    assert not (clinic / "adapted").exists()
    assert not (clinic / ".adapted.partial").exists()


def test_an_adapted_run_is_a_run_whose_samples_are_guaranteed(clinic):
    adapted = adapt(clinic)
    run = mv.open_run(clinic / "adapted")
    for name, tensor in mv.open_run(clinic / "run").model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], tensor)
    assert run.configuration.data.manifest == clinic / "private" / "secret.csv"
    assert {patient for part in run.splits.values() for patient in part.patients} == set(run.data.patients)
    classes, groups, reference = Loud.given
    assert sum(map(len, classes)) == len(run.splits["train"])
    assert {patient for each in groups for patient in each} == set(run.splits["train"].patients)
    assert sum(map(len, reference)) == len(mv.open_run(clinic / "run").splits["train"])
    assert run.synthesizer().guarantee == Guarantee(3.0, 1e-5, "samples") == adapted.synthesizer().guarantee
    assert run.synthesizer("kde").guarantee is None
    assert Loud.fits == 1


def test_an_adapted_run_is_sampled_audited_and_evaluated_like_any_other(clinic, mmvae):
    adapt(clinic)
    assert mmvae("sample", clinic / "adapted", "--count", 3, "--out", clinic / "more")[0] == 0
    assert "adapted" not in (clinic / "more" / "provenance.json").read_text("utf-8")
    result, _ = audit_run(mv.open_run(clinic / "adapted"))
    assert result.sizes["train"].samples == len(mv.open_run(clinic / "adapted").splits["train"])
    metrics, _ = measure(mv.open_run(clinic / "adapted"), count=10, resamples=2)
    assert metrics["evaluated"]["sampler"] == Loud().name
    assert Loud.fits == 1


def test_the_samples_hold_nothing_exact_of_a_private_patient(clinic):
    run = adapt(clinic)
    rows = [row.split(",") for row in (clinic / "private" / "secret.csv").read_text("utf-8").splitlines()[1:]]
    secrets = ["secret", str(clinic), "/private", *(cell for row in rows for cell in (row[0], row[1], row[3]))]
    secrets += [part.fingerprint() for part in (*run.splits.values(), run.data)]
    files = [path for path in (clinic / "adapted" / "samples").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"manifest.csv", "provenance.json"}
    for path in files:
        content = path.read_text("utf-8")
        assert not [each for each in secrets if each in content or each in str(path.relative_to(clinic))]
    provenance = json.loads((clinic / "adapted" / "samples" / "provenance.json").read_text("utf-8"))
    assert provenance["densities_fitted_on"] == {"ill": 77, "well": 77}
    assert provenance["guarantee"]["covers"] == "samples"


def test_a_patient_more_or_less_changes_the_part_of_no_other(clinic):
    names = [f"p{number}" for number in range(200)]
    part_of = {}
    for part, rows in enumerate(split_independently(names, [0.6, 0.1, 0.3], 0)):
        part_of |= {names[row]: part for row in rows}
    for left_out in (0, 77, 199):
        others = names[:left_out] + names[left_out + 1 :]
        for part, rows in enumerate(split_independently(others, [0.6, 0.1, 0.3], 0)):
            assert all(part_of[others[row]] == part for row in rows)


def test_what_an_adaptation_spends_is_summed_and_the_same_one_spends_nothing(clinic):
    first = adapt(clinic)
    assert spent_by(first) == {"epsilon": 3.0, "delta": 1e-5, "adaptations": 1}
    before = {path: path.read_bytes() for path in (clinic / "adapted").rglob("*") if path.is_file()}
    assert spent_by(adapt(clinic)) == spent_by(first)
    assert {path: path.read_bytes() for path in (clinic / "adapted").rglob("*") if path.is_file()} == before
    second = adapt(clinic, out="second", epsilon=1.5)
    assert spent_by(second) == {"epsilon": 4.5, "delta": 2e-5, "adaptations": 2}
    assert spent_by(first)["adaptations"] == 1
    assert [each["epsilon"] for each in ledger(clinic)] == [3.0, 1.5]
    assert Loud.fits == 2


@pytest.mark.parametrize("changed", [{"epsilon": 2.0}, {"count": 7}])
def test_another_adaptation_does_not_replace_a_finished_one(clinic, changed):
    adapt(clinic)
    with pytest.raises(mv.RunError, match=r"holds an adaptation with other (sampler|count)"):
        adapt(clinic, **changed)
    write_clinic(clinic / "private" / "secret.csv", "secrets")
    with pytest.raises(mv.RunError, match="holds an adaptation with other train samples"):
        adapt(clinic)
    assert len(ledger(clinic)) == 1


def test_an_interrupted_adaptation_resumes_with_the_density_it_paid_for(clinic, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(adaptation, "write_samples", interrupt)
        with pytest.raises(KeyboardInterrupt):
            adapt(clinic)
    assert not (clinic / "adapted").exists()
    with pytest.raises(mv.RunError, match="holds an adaptation with other sampler"):
        adapt(clinic, epsilon=2.0)
    assert spent_by(adapt(clinic))["adaptations"] == 1
    assert Loud.fits == len(ledger(clinic)) == 1
    assert not (clinic / ".adapted.partial").exists()


def test_a_draw_that_is_lost_counts_as_spent(clinic, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(mv.Synthesizer, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            adapt(clinic)
    assert not (clinic / "adapted").exists()
    assert spent_by(adapt(clinic))["adaptations"] == 2


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_patient_of_the_run_is_refused_in_any_spelling(clinic):
    write_clinic(clinic / "private" / "secret.csv", "secret", row3={"patient_id": "Public-P007"})
    write_clinic(clinic / "private" / "one.csv", "secret", row3={"patient_id": "public-p7"})
    for manifest in ("secret.csv", "one.csv"):
        refused(clinic, "no epsilon can be given: 1 patients of .* are among those of .*run", manifest=manifest)


def test_a_sample_of_the_run_is_refused_under_any_name(clinic):
    blood = (clinic / "public.csv").read_text("utf-8").splitlines()[10].split(",")[3]
    write_clinic(clinic / "private" / "secret.csv", "secret", row4={"blood": blood})
    refused(clinic, "1 samples of .* are identical to samples of .* in 'blood': the patients secret-p4 as public-p9")


def test_rows_without_a_patient_are_refused(clinic):
    write_clinic(clinic / "private" / "secret.csv", "secret", row4={"patient_id": ""}, row5={"patient_id": ""})
    refused(clinic, "it protects a patient, but 2 rows of .*secret.csv have no patient_id")


def test_a_run_whose_data_are_gone_or_changed_is_refused(clinic):
    (clinic / "public.csv").rename(clinic / "moved.csv")
    refused(clinic, "must be compared with yours, but there is no manifest", mv.RunError)
    write_clinic(clinic / "public.csv", "public", row3={"sex": "f"})
    refused(clinic, "must be compared with yours, but the data of .* has changed", mv.RunError)


def test_a_run_of_data_in_memory_is_adapted_where_they_are_passed(clinic, make_data):
    data = make_data(24)
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0)
    mv.fit(vae, data, out=clinic / "memory", show=False, epochs=1, device="cpu")
    refused(clinic, "but .* was trained on data in memory; pass it", mv.RunError, run="memory")


def test_an_adapted_run_is_not_adapted_again(clinic):
    adapt(clinic)
    with pytest.raises(mv.RunError, match="is adapted itself; adapt the run that it was adapted from"):
        adapt(clinic, out="again", run="adapted")


def test_a_sampler_without_a_guarantee_is_refused(clinic):
    with pytest.raises(mv.ConfigurationError, match="the sampler 'kde' gives no guarantee"):
        adapt_run(mv.open_run(clinic / "run"), clinic / "private" / "secret.csv", "kde", clinic / "adapted")


def test_another_private_density_of_an_adapted_run_is_refused(clinic):
    run = adapt(clinic)
    for arguments in ({"sampler": Loud(1.0)}, {"fit_on": "test"}):
        with pytest.raises(mv.RunError, match="would spend more of their privacy: run mmvae adapt"):
            run.synthesizer(**arguments)


@pytest.mark.parametrize("name", ["model.safetensors", "samplers/{}.safetensors"])
def test_weights_or_densities_that_were_exchanged_have_no_guarantee(clinic, name):
    run = adapt(clinic)
    path = run.path / name.format(run.configuration.density.sampler.name.replace(":", "-"))
    shutil.copy(clinic / "run" / "samplers" / "gaussian.safetensors", path)
    with pytest.raises(mv.RunError, match=r"has changed since the guarantee in .*guarantee.json; restore it"):
        mv.open_run(run.path).synthesizer()


def test_samples_of_classes_that_the_run_does_not_know_are_left_out(clinic):
    write_clinic(clinic / "private" / "secret.csv", "secret", row4={"label": "strange"}, row6={"label": ""})
    with pytest.warns(mv.MultimodalVAEWarning, match="2 of 100 samples of .* are left out"):
        run = adapt(clinic)
    assert list(run.synthesizer().densities) == ["ill", "well"]
    assert sum(map(len, Loud.given[0])) == int((mv.open_run(run.path).splits["train"].labels >= 0).sum())


def test_a_label_that_differs_from_a_class_in_form_only_is_refused(clinic):
    write_clinic(clinic / "private" / "secret.csv", "secret", row4={"label": "ILL"})
    refused(clinic, "the label 'ILL' and the class 'ill' differ only in form")


def test_a_damaged_ledger_stops_before_any_noise_is_drawn(clinic):
    (clinic / "private" / LEDGER).write_text("[{}]", "utf-8")
    with pytest.raises(mv.RunError, match=r"mmvae_budget\.json is damaged"):
        adapt(clinic)
    assert not Loud.fits
