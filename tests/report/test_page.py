"""The report is one page that is whole in itself, tells nobody's name, and runs no word of the data."""

import base64
import csv
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import multimodal_vae as mv
from evaluations import evaluation
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.privacy.result import PrivacyResult
from multimodal_vae.report import galleries, page
from multimodal_vae.report.key_metrics import key_metrics
from multimodal_vae.report.metrics_table import metrics_csv
from multimodal_vae.report.pictures import BASE64, BYTES_PER_PIXEL, affordable, data_uri, sheet, tiles
from multimodal_vae.report.records import read_metrics, read_privacy
from multimodal_vae.report.verdict import judge_evaluation

VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADING = ("src", "srcset", "href", "data", "poster", "action", "background", "xlink:href")


class Parsed(HTMLParser):
    """Every tag with its attributes; tags that do not close, or close what is not open, are faults."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.faults, self.text = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> stays open" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text.append(data)

    def of(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture
def html(evaluated):
    return (evaluated / "report.html").read_text("utf-8")


@pytest.fixture
def parsed(html):
    return Parsed(html)


def test_the_page_parses_and_every_anchor_leads_somewhere(parsed):
    assert parsed.faults == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    anchors = {a["href"] for a in parsed.of("a") if "download" not in a}
    assert {anchor.removeprefix("#") for anchor in anchors} <= {*ids}
    assert {attributes["aria-labelledby"] for attributes in parsed.of("section")} <= {*ids}


def test_nothing_is_loaded_from_anywhere(html, parsed):
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[\w+/=]+", "", html))
    for _, attributes in parsed.tags:
        for key in LOADING:
            assert attributes.get(key, "#").startswith(("#", "data:")), attributes
    assert all(address.startswith("data:") for address in re.findall(r"url\(([^)]{0,20})", html))
    (policy,) = [each["content"] for each in parsed.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_every_picture_has_words(parsed):
    # classes, modalities, kinds of example and of sample; maps of photo, and the figure of blood
    assert len(parsed.of("img")) == 2 * (2 * (3 + 3) + 4 + 1)
    assert all(len(each["alt"]) > 10 for each in parsed.of("img"))
    for tag, attributes in parsed.tags:
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if attributes.get("role") in ("img", "option"):
            assert attributes["aria-label"]


def test_the_verdict_comes_first_and_the_rest_is_folded(html, parsed, evaluated):
    metrics = read_metrics(evaluated)
    assert html.index(f"<h1>Evaluation of {evaluated.name}</h1>") < html.index(f">{metrics['date'][:10]}<")
    places = [html.index(f'id="{each}"') for each in ("verdict", "samples", "key", "privacy", "short", "versions")]
    assert places == sorted(places)
    verdict = html[places[0] : places[1]]
    for sentence in judge_evaluation(metrics, None):
        assert sentence in verdict
    folded = [each for each in parsed.of("details") if each.get("class") == "part"]
    assert "open" not in {key for each in folded for key in each}
    assert {"short", "latent", "training", "metrics", "subgroups", "data", "versions"} <= {
        each["id"] for each in folded
    }
    assert metrics["run"]["weights_sha256"] not in html[: html.index('id="versions"')]
    assert html.count("<li>\n<div><h3>") == len(key_metrics(metrics["results"], 24)) == 5


def test_the_table_in_the_page_is_the_file_and_holds_every_metric(evaluated, parsed):
    (link,) = [each for each in parsed.of("a") if "download" in each]
    kind, content = link["href"].split(";base64,")
    assert (kind, link["download"]) == ("data:text/csv;charset=utf-8", "metrics.csv")
    text = base64.b64decode(content).decode()
    with open(evaluated / "metrics.csv", newline="", encoding="utf-8") as file:
        assert file.read() == text
        file.seek(0)
        rows = list(csv.DictReader(file))
    metrics = read_metrics(evaluated)
    groups = [("", "", metrics["results"]), *((g["column"], g["value"], g["results"]) for g in metrics["subgroups"])]
    expected = [(column, value, each) for column, value, results in groups for each in results]
    assert len(rows) == len(expected)
    for row, (column, value, each) in zip(rows, expected, strict=True):
        assert (row["metric"], row["column"], row["group"]) == (each.name, column, unquote_formula(value))
        assert row["best"] == each.aim
        numbers = {"value": each.value, "real": each.real, "baseline": each.baseline}
        for key, number in numbers.items():
            assert row[key] == ("" if number is None or not math.isfinite(number) else repr(number))
        assert (row["interval_low"] == "") == (each.interval is None or not math.isfinite(each.interval[0]))


def test_cells_of_the_table_are_no_formulas_and_what_is_not_known_is_empty():
    bad = evaluation([MetricResult("=cmd()", float("nan"), interval=(float("nan"), 1.0))])
    (_, row) = csv.reader(io.StringIO(metrics_csv(bad), newline=""))
    assert row[:8] == ["'=cmd()", "", "", "400", "200", "", "", "1.0"]


def test_the_page_says_how_to_write_its_samples_and_links_to_those_of_the_run(evaluated):
    run, metrics = mv.open_run(evaluated), read_metrics(evaluated)
    command = f"mmvae sample {evaluated.name} --count 12 --seed 0 --out {evaluated.name}/samples"
    assert page._samples(run, metrics) == {"command": command}
    metrics["evaluated"]["sampler"] = "kde"
    assert page._samples(run, metrics)["command"] == command.replace(" --out", " --sampler kde --out")
    mv.write_samples(evaluated / "samples", run.synthesizer(), dict.fromkeys(run.model.classes, 2), 0, {})
    assert page._samples(run, metrics)["manifest"] == "samples/manifest.csv"


def test_examples_of_a_class_have_the_same_axes():
    from matplotlib.figure import Figure

    part, samples = mv.Vector(size=3), [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([-5.0, 0.0, 9.0])]
    alike = galleries._SameLimits.of(part, samples)
    limits = set()
    for sample in samples:
        ax = Figure().add_subplot()
        alike.plot(sample, ax)
        limits.add((ax.get_xlim(), ax.get_ylim()))
    ((_, (low, high)),) = limits
    assert low <= -5
    assert high >= 9


def test_names_from_the_data_are_text_and_no_markup(html, parsed, evaluated):
    hostile = next(name for name in mv.open_run(evaluated).model.classes if "<img" in name)
    assert hostile not in html
    assert not [each for _, each in parsed.tags if any(key.startswith("on") for key in each)]
    assert len(parsed.of("script")) == 2
    assert hostile in "".join(parsed.text).replace("\\u003c", "<").replace("\\u003e", ">")
    assert not parsed.of("b") or all(each.get("class") == "short" for each in parsed.of("b"))


def test_the_only_script_that_runs_is_the_packages_own(html):
    allowed = re.search(r"script-src 'sha256-([\w+/=]+)'", html)
    script = re.search(r"<script>(.*)</script>\n</body>", html, re.DOTALL)
    assert allowed
    assert script
    import hashlib

    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() == allowed[1]


def test_no_patient_sample_or_file_is_named_anywhere(evaluated):
    with open(evaluated.parent / "cohort" / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("report.html", "metrics.json"):
        text = (evaluated / name).read_text("utf-8")
        for row in rows:
            for column in ("sample_id", "patient_id", "photo"):
                assert row[column] not in text


def test_every_held_out_sample_is_a_point_with_its_facts_alone(html, parsed, evaluated):
    points = json.loads(re.search(r'id="points">(.*?)</script>', html, re.DOTALL)[1])["points"]
    options = [each for _, each in parsed.tags if each.get("role") == "option"]
    assert len(points) == len(options) == len(mv.open_run(evaluated).splits["test"])
    allowed = {"class", "class by the judge", "site", "mean difference, photo", "mean difference, blood"}
    assert {key for point in points for key in point["facts"]} == allowed
    assert [each["tabindex"] for each in options].count("0") == 1


def test_without_an_audit_the_page_says_which_command_runs_one(html, evaluated):
    assert read_privacy(evaluated) is None
    assert "Privacy was not audited" in html
    assert f"mmvae audit {evaluated.name}" in html


AUDIT = {
    "version": 2,
    "sizes": {},
    "results": [PrivacyResult("nearer", 0.6, real=0.5, who="train", space="data").to_dict()],
    "verdict": {"leak": True, "conclusions": ["Something <of> theirs shows."], "limitations": ["All else."]},
}


def test_an_audit_is_shown_with_figures_and_verdict(evaluated, mmvae):
    (evaluated / "privacy.json").write_text(json.dumps(AUDIT), "utf-8")
    assert mmvae("evaluate", evaluated, "--count", 12)[0] == 0
    text = (evaluated / "report.html").read_text("utf-8")
    assert "A leak was found." in text
    assert text.count("Something &lt;of&gt; theirs shows.") == 2  # in the summary, and in its own place
    assert "All else." in text
    assert "nearer" in text
    assert 'class="roc"' not in text  # there is none in audits of earlier versions
    assert "Privacy was not audited" not in text
    assert mmvae("card", evaluated)[0] == 0
    assert (evaluated / "card.md").read_text("utf-8").count("\n- All else.\n") == 1


def test_the_curves_of_an_audit_are_shown_and_its_verdict_comes_first(evaluated, mmvae):
    verdict = {**AUDIT["verdict"], "summary": ["This was <b>found</b>.", "It is sure.", "Do that."]}
    curve = {"who": "train", "space": "data/<img src=x>", "name": "distance"}
    curve |= {"false_positive_rates": [0.0, 1.0], "true_positive_rates": [0.5, 1.0]}
    (evaluated / "privacy.json").write_text(json.dumps({**AUDIT, "verdict": verdict, "curves": [curve]}), "utf-8")
    assert mmvae("evaluate", evaluated, "--count", 12)[0] == 0
    text = (evaluated / "report.html").read_text("utf-8")
    assert "A leak was found.</strong>\nThis was &lt;b&gt;found&lt;/b&gt;. It is sure. Do that.</p>" in text
    assert "var(--c0, #0067b8)" in text
    assert 'role="img" aria-label="ROC curves of attacks' in text
    assert "<img src=x" not in text


@pytest.mark.parametrize("rates", [[0.5], [], [0.5, 2.0]])
def test_a_damaged_curve_of_an_audit_is_said(evaluated, mmvae, rates):
    curve = {"who": "train", "space": "data", "name": "distance"}
    curve |= {"false_positive_rates": [0.0, 1.0], "true_positive_rates": rates}
    (evaluated / "privacy.json").write_text(json.dumps({**AUDIT, "curves": [curve]}), "utf-8")
    status, _, err = mmvae("evaluate", evaluated)
    assert status == 2
    assert "privacy.json is damaged" in err


def test_a_damaged_audit_is_said_before_anything_is_measured(evaluated, mmvae):
    (evaluated / "privacy.json").write_text("{", "utf-8")
    status, _, err = mmvae("evaluate", evaluated)
    assert status == 2
    assert "privacy.json is damaged" in err


@pytest.mark.parametrize("pictures", [1, 3, 12])
def test_pictures_stay_within_their_budget_whatever_they_show(pictures):
    side, budget = 24, 60_000
    count = affordable(50, pictures, side, budget)
    noise = np.random.default_rng(0).integers(0, 256, (count * pictures, side, side, 3), dtype=np.uint8)
    size = len(data_uri(sheet(list(noise), 10)))
    assert size <= budget or count == 1
    assert count == 50 or (count + 1) * pictures * side * side * BYTES_PER_PIXEL * BASE64 > budget


def test_the_page_is_as_small_as_it_promises(html):
    assert len(html.encode()) < page.MAX_BYTES


@pytest.mark.parametrize(
    "part",
    [
        mv.Image(size=(8, 12), channels=3, width=4),
        mv.Signal(length=16, channels=2, width=4),
        mv.Vector(size=3),
        mv.Categorical(categories=["left", "right"]),
        mv.Counts(size=5),
        mv.Volume(size=(8, 8, 8), width=4),
    ],
)
def test_any_modality_makes_a_tile_that_shows_its_sample(part):
    torch.manual_seed(0)
    first, *rest = part.examples(20)
    different = next(sample for sample in rest if not torch.equal(sample, first))  # of two categories
    one, other, again = tiles(part, [first, different, first], 40)
    assert one.shape == (40, 40, 3)
    assert one.std() > 0
    assert not np.array_equal(one, other)
    assert np.array_equal(one, again)
    for sample, drawn in ((first, one), (different, other)):
        assert np.array_equal(tiles(part, [sample], 40)[0], drawn)
