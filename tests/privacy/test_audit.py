"""What copies is caught, and what draws from the same source is not; on arrays, and through a whole run."""

import csv
import json
import shutil

import pytest
import torch

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.privacy.audit import audit
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.summary import QUESTIONS, summary


def people(seed, count=120, visits=2):
    """Patients of three classes whose visits are alike, seen by two modalities."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count // visits).repeat_interleave(visits) % 3
    own = torch.randn(count // visits, 6, generator=rng).repeat_interleave(visits, 0)
    a = 3 * labels[:, None] + own + 0.5 * torch.randn(count, 6, generator=rng)
    b = own[:, :4] - 2 * labels[:, None] + 0.5 * torch.randn(count, 4, generator=rng)
    groups = [f"{seed}:{row // visits}" for row in range(count)]
    return Records(LabeledSamples({"a": a, "b": b}, labels, groups), torch.cat([a, b], 1))


def generated(records, noise=0.0):
    values = {
        name: x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
        for name, x in records.samples.values.items()
    }
    return Records(LabeledSamples(values, records.samples.labels), torch.cat(list(values.values()), 1))


SPACES = ["data", "data/a", "data/b", "features", "features/a", "features/b", "latent"]


@pytest.fixture(scope="module")
def memorized():
    train = people(0)
    return audit({"train": train, "fitted on": people(1)}, people(2), generated(train, 0.01), resamples=100)


@pytest.fixture(scope="module")
def independent():
    return audit({"train": people(0), "fitted on": people(1)}, people(2), generated(people(3)), resamples=100)


@pytest.mark.parametrize("space", SPACES)
def test_a_generator_that_memorizes_is_caught(memorized, space):
    assert memorized.result("membership/distance", space).value > 0.95
    assert memorized.result("nearer than holdout", space).value > 0.95
    assert memorized.result("copies/near", space).value > 0.9


def test_a_memorizer_gives_away_those_it_copied_and_nobody_else(memorized):
    assert memorized.verdict.leak
    assert memorized.verdict.conclusions[0] == (
        "The samples reveal something about the patients the model was trained on."
    )
    low, high = memorized.result("membership/distance", "data", "fitted on").interval
    assert low <= 0.5 <= high


def test_the_summary_is_the_strongest_result_per_question(memorized):
    answers = summary(memorized.results)
    assert len(answers) == len(QUESTIONS) - 2  # no model, no shadow models
    for question, result, where, _ in answers:
        prefix = QUESTIONS[question]
        assert result.name.startswith(prefix)
        assert where.endswith(result.who)
        rivals = [each.value for each in memorized.results if each.name == result.name and each.space == result.space]
        assert result.value == max(rivals)
    by_question = {each.question: each.result for each in answers}
    distances = [each.value for each in memorized.results if each.name == "membership/distance"]
    assert by_question["membership by distance"].value == max(distances)
    assert by_question["recognized at 1 %"].name not in ("recognized/blind", "recognized/control")
    assert by_question["near copies"].space.startswith("data")


def test_the_curves_are_those_of_the_strongest_attack_of_each_kind(memorized):
    for who in ("train", "fitted on"):
        curves = [each for each in memorized.curves if each.who == who]
        assert sorted(each.name for each in curves) == ["blind", "control", "density ratio", "distance"]
        for each in curves:
            name = f"membership/{each.name}"
            rivals = [other.value for other in memorized.results if (other.name, other.who) == (name, who)]
            assert memorized.result(name, each.space, who).value == max(rivals)
            rates = zip(each.false_positive_rates, each.true_positive_rates, strict=True)
            recognized = memorized.result(f"recognized/{each.name}", each.space, who)
            assert max(true for false, true in rates if false <= 0.01) == recognized.value


def test_the_verdict_says_what_was_found_how_sure_this_is_and_what_to_do(memorized, independent):
    found, evidence, action = memorized.verdict.summary
    assert found == "The samples reveal something about the patients the model was trained on."
    assert "an area under the curve of 1.00 (0.5 is chance; 95 % interval" in evidence
    assert action.startswith("Do not release these samples;")
    nothing, certainty, action = independent.verdict.summary
    assert nothing.startswith("No attack distinguishes the patients the model was trained on or the patients")
    assert certainty.startswith(
        "With 60 held-out patients, attacks that failed may still reach an area under the curve"
    )
    assert "cannot prove anonymity" in action


def scored(records, score):
    return Records(records.samples, records.latents, {"reconstruction": score + torch.arange(len(records)) % 3})


def test_a_model_that_leaks_through_its_outputs_alone_is_told_from_samples_that_leak():
    leak = audit({"train": scored(people(0), 9.0)}, scored(people(2), 0.0), generated(people(3)), resamples=50)
    found, _, action = leak.verdict.summary
    assert found == (
        "The model reveals something about the patients the model was trained on; no attack on the samples alone "
        "succeeds."
    )
    assert action == "Release samples only, and neither the model nor its densities."


@pytest.mark.parametrize("space", SPACES)
def test_independent_draws_are_not_caught(independent, space):
    low, high = independent.result("membership/distance", space).interval
    assert low <= 0.5 <= high


def test_the_verdict_on_independent_draws_says_what_it_does_not_show(independent):
    assert not independent.verdict.leak
    assert independent.verdict.conclusions[0].startswith("No attack distinguishes")
    assert any("No metric here proves anonymity" in sentence for sentence in independent.verdict.limitations)


def test_a_lower_bound_on_epsilon_follows_from_the_attacks(memorized, independent):
    assert memorized.result("epsilon/distance", "data").value > 1
    assert any(
        "No guarantee of differential privacy with epsilon below" in each for each in memorized.verdict.conclusions
    )
    bounds = [each.value for each in independent.results if each.name.startswith("epsilon/")]
    assert len(bounds) == 2 * len(SPACES)
    assert max(bounds) == 0


def shifted(records, by):
    values = {name: x + by for name, x in records.samples.values.items()}
    return Records(LabeledSamples(values, records.samples.labels, records.groups))


def test_the_control_tells_a_leak_from_another_population():
    train, new = people(0), generated(people(3))
    found = audit({"train": train}, shifted(people(2), 4.0), new, resamples=50)
    for name in ("distance", "control"):
        assert found.result(f"membership/{name}", "data").value > 0.9
    assert "the holdout is from another population" in " ".join(found.verdict.conclusions)
    assert found.verdict.summary[2].startswith("First audit with a holdout from the same population")
    leak = audit({"train": train}, people(2), generated(train, 0.01), resamples=50)
    assert leak.result("membership/distance", "data").value > 0.9
    low, high = leak.result("membership/control", "data").interval
    assert low <= 0.5 <= high
    assert "another population" not in " ".join(leak.verdict.conclusions)


def test_the_control_finds_a_patient_under_two_names_whom_no_classifier_finds():
    train = people(0)
    names = [f"{name} again" if row % 2 else name for row, name in enumerate(train.groups)]
    values = {name: x.clone() for name, x in train.samples.values.items()}
    for x in values.values():
        x[1::2] = x[::2] + 0.01
    found = audit(
        {"train": Records(LabeledSamples(values, train.samples.labels, names))},
        people(2),
        generated(people(3)),
        resamples=50,
    )
    assert found.result("membership/control", "data").interval[0] > 0.5
    low, high = found.result("membership/blind", "features").interval
    assert low <= 0.5 <= high
    assert "under two names" in " ".join(found.verdict.conclusions)


def test_those_that_densities_were_fitted_on_are_caught_as_well():
    fitted = people(1)
    found = audit({"train": people(0), "fitted on": fitted}, people(2), generated(fitted), resamples=50)
    assert found.result("copies/exact", "data", "fitted on").value == 1
    assert found.result("copies/exact", "data", "train").value == 0
    assert found.result("membership/distance", "features", "fitted on").value > 0.95
    assert "(fit_on)" in found.verdict.summary[2]


def test_a_holdout_that_shares_a_patient_is_refused():
    with pytest.raises(DataError, match="shares 60 patients with the training set"):
        audit({"train": people(0)}, people(0), generated(people(3)))


def test_too_few_records_are_refused():
    few = people(0, 6)
    with pytest.raises(DataError, match="an audit needs 10 of each"):
        audit({"train": few}, people(2), generated(people(3)))


def other_patients(manifest):
    """The same cohort, told to be of other patients, and with blood of its own."""
    rows = list(csv.reader(manifest.read_text("utf-8").splitlines()))
    for row in rows[1:]:
        row[1] = f"other {row[1]}"
        row[4] = " ".join(str(float(number) + 0.3) for number in row[4].split())
    path = manifest.with_name("others.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def others(trained):
    return other_patients(trained.parent / "cohort" / "manifest.csv")


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_a_run_is_audited_and_the_same_again(mmvae, trained, others):
    status, out, err = mmvae("audit", trained, "--holdout", others, "--json")
    assert (status, err) == (0, "")
    written = (trained / "privacy.json").read_text("utf-8")
    found = json.loads(out)
    assert found == json.loads(written)
    picture = (trained / "privacy.svg").read_bytes()
    assert (found["version"], found["fit_on"], found["sampler"]["name"]) == (2, "train", "kde")
    assert found["sizes"]["holdout"]["samples"] == 24
    spaces = {(each["space"], each["name"]) for each in found["results"]}
    assert {
        ("data", "copies/exact"),
        ("latent", "membership/distance"),
        ("model", "membership/reconstruction"),
    } <= spaces
    assert {each["who"] for each in found["results"]} == {"train"}
    assert {each["name"] for each in found["curves"]} >= {"distance", "density ratio"}
    assert mmvae("audit", trained, "--holdout", others, "--json")[1] == out
    assert (trained / "privacy.svg").read_bytes() == picture


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_given_samples_are_audited_and_a_member_among_them_is_found(mmvae, trained, others, tmp_path):
    new, members = tmp_path / "new", trained.parent / "cohort" / "manifest.csv"
    assert mmvae("sample", trained, "--count", 10, "--sampler", "prior", "--out", new)[0] == 0
    given = ("--samples", new, "--members", members, "--holdout", others, "--json")
    status, out, err = mmvae("audit", trained, *given)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["sampler"] is None
    assert found["samples"] == str(new)
    assert found["sizes"]["members"]["samples"] == 24
    assert found["sizes"]["synthetic"]["samples"] == 20
    assert sorted(path.name for path in new.iterdir()) == ["manifest.csv", "photo", "provenance.json"]
    assert copied(found) == 0
    table = (new / "manifest.csv").read_text("utf-8").splitlines()
    of_member = members.read_text("utf-8").splitlines()[1].split(",")
    cells = table[1].split(",")
    shutil.copy(members.parent / of_member[3], new / cells[2])
    table[1] = ",".join([*cells[:3], of_member[4], *cells[4:]])
    (new / "manifest.csv").write_text("\n".join(table) + "\n", "utf-8")
    assert copied(json.loads(mmvae("audit", trained, *given)[1])) == 1
    status, out, err = mmvae("audit", trained, "--samples", new, "--sampler", "kde")
    assert (status, out) == (2, "")
    assert err == "mmvae: the samples are given, so no sampler is used; omit --samples or --sampler\n"


def copied(found):
    """Return the number of samples that copy a record in both modalities."""
    exact = [each for each in found["results"] if (each["space"], each["name"]) == ("data", "copies/exact")]
    return exact[0]["context"]["samples"]


def test_a_sampler_is_a_name_or_a_table(mmvae, trained, others):
    table = '{name = "kde", bandwidth = 0.4}'
    status, out, _ = mmvae("audit", trained, "--holdout", others, "--sampler", table, "--json")
    assert status == 0
    assert json.loads(out)["sampler"]["bandwidth"] == 0.4
    assert mmvae("audit", trained, "--sampler", '{name = "kde"')[::2] == (
        2,
        "mmvae: '{name = \"kde\"' is no TOML table: Unclosed inline table (at end of document)\n",
    )


def test_the_table_and_the_verdict_are_printed(mmvae, trained, others):
    status, out, _ = mmvae("audit", trained, "--holdout", others)
    assert status == 0
    words = " ".join(out.split())
    assert words.startswith(("A leak was found. The ", "No leak was found. No attack distinguishes the "))
    assert words.index("exact copies") < words.index("Conclusions:") < words.index("Limitations:")
    assert out.replace("\n", "").endswith(f"written: {trained / 'privacy.json'}, {trained / 'privacy.svg'}")
    assert all(question in words for question in ("exact copies", "epsilon at least", "recognized at 1 %"))
    assert "proves anonymity" in words


def test_a_holdout_of_the_runs_own_patients_is_refused_in_one_line(mmvae, trained):
    status, out, err = mmvae("audit", trained, "--holdout", trained.parent / "cohort" / "manifest.csv")
    assert (status, out) == (2, "")
    assert "the holdout shares" in err
    assert len(err.splitlines()) == 1
