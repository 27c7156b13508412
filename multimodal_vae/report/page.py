"""``report.html``: one self-contained file that loads nothing from the network."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import tomli_w
import torch
from markupsafe import Markup

from multimodal_vae.evaluation.result import MetricResult, format_interval, format_number
from multimodal_vae.files import inside
from multimodal_vae.modalities.base import Modality
from multimodal_vae.privacy.picture import describe_curves, draw_curves, for_page
from multimodal_vae.privacy.result import FILE as PRIVACY_FILE
from multimodal_vae.privacy.summary import summary
from multimodal_vae.report import html, metrics_table, words
from multimodal_vae.report.galleries import Picture, examples, galleries
from multimodal_vae.report.key_metrics import MARGIN, KeyMetric, key_metrics
from multimodal_vae.report.pictures import (
    CHART_SIZE,
    COLUMNS,
    MAP_SIZE,
    TILE_SIDE,
    Chart,
    affordable,
    chart,
    compare,
    data_uri,
    latent_map,
    read_log,
    spread_picture,
    with_axes,
)
from multimodal_vae.report.records import Evidence, Metrics, Privacy, SubgroupRecord
from multimodal_vae.report.samplers import describe
from multimodal_vae.report.subgroups import SubgroupTest, compare_subgroups, worse_subgroups
from multimodal_vae.report.verdict import judge_evaluation
from multimodal_vae.run import Run
from multimodal_vae.run_folder import refiner_folders
from multimodal_vae.synthesis.marks import TABLE
from multimodal_vae.synthesis.refinement import REFINED

MAX_BYTES = 15_000_000
"""Maximum size of a page."""
_MAP_BYTES, _GALLERY_BYTES, _EXAMPLE_BYTES = MAX_BYTES / 2, MAX_BYTES / 8, MAX_BYTES / 8
"""Parts of it; the rest is for class maps, tables and text."""
_POINTS = 400
AXIS = (1.25, 2.0)
"""Least and largest end of the axis of the key metrics, on which real samples have 1."""
SAMPLES = "samples"
"""Folder in that of a run, from which the page links to a manifest of generated samples."""
MAX_CLASSES = 10
"""Maximum number of classes with pictures."""


def report_page(run: Run, metrics: Metrics, evidence: Evidence, privacy: Privacy | None) -> str:
    """Return the page.

    Args:
        run: the run.
        metrics: its evaluation.
        evidence: the samples behind the metrics.
        privacy: its audit, if any.
    """
    modalities = run.model.modalities
    counts = evidence.held_out.counts()
    labels = list(counts)[:MAX_CLASSES]
    points = affordable(_POINTS, len(modalities), TILE_SIDE, _MAP_BYTES)
    map_ = latent_map(modalities, evidence, points)
    script = html.template_text("folding.js") + html.template_text("latent_map.js")
    key = key_metrics(metrics["results"], metrics["evaluated"]["patients"])
    tests = compare_subgroups(metrics)
    return (
        _environment()
        .get_template("report.html")
        .render(
            metrics=metrics,
            run=metrics["run"],
            evaluated=metrics["evaluated"],
            modalities=modalities,
            classes=evidence.classes,
            omitted=len(counts) - len(labels),
            curves=_curves(run),
            chart_size=CHART_SIZE,
            verdict=judge_evaluation(metrics, privacy),
            key=list(zip(key, _positions(key), strict=True)),
            margin=MARGIN,
            examples=examples(modalities, evidence, labels, _EXAMPLE_BYTES),
            galleries=galleries(modalities, evidence, labels, _GALLERY_BYTES),
            maps=_maps(modalities, evidence, labels),
            map=map_,
            map_size=MAP_SIZE,
            tile=TILE_SIDE,
            columns=COLUMNS,
            points=[{"facts": dict(point.facts)} for point in map_.points],
            shortfalls=words.shortfalls(metrics["results"]),
            cautions=words.cautions(metrics, privacy),
            worse_subgroups=worse_subgroups(tests),
            chance=words.CHANCE,
            worse_subgroup=words.WORSE_SUBGROUP,
            tables=_tables(metrics),
            csv=data_link("text/csv", metrics_table.metrics_csv(metrics)),
            csv_file=metrics_table.FILE,
            samples=_samples(run, metrics),
            by_column=_by_column(metrics["subgroups"], tests),
            tests=len(tests),
            privacy=privacy,
            privacy_file=PRIVACY_FILE,
            privacy_curves=_privacy_curves(privacy),
            settings=tomli_w.dumps(metrics["run"]["configuration"]),
            style=Markup(html.template_text("report.css")),  # noqa: S704  (a file of this package)
            script=Markup(script),  # noqa: S704
            script_hash=html.sha256(script),
        )
    )


def data_link(kind: str, text: str) -> str:
    """Return a data URI of a file of text.

    Example:
        >>> data_link("text/csv", "a,b")
        'data:text/csv;charset=utf-8;base64,YSxi'
    """
    return f"data:{kind};charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def _samples(run: Run, metrics: Metrics) -> dict[str, str]:
    """Return the command that writes the evaluated samples, and the manifest of samples in the run's folder, if any."""
    evaluated, density = metrics["evaluated"], run.configuration.density
    command = f"mmvae sample {metrics['run']['name']} --count {evaluated['generated']} --seed {evaluated['seed']}"
    if evaluated["sampler"] != density.sampler.name:
        command += f" --sampler {evaluated['sampler']}"
    if refiner_folders(run.path, run.configuration) and REFINED not in evaluated.get("noise", {}).values():
        command += " --no-refine"
    found = {"command": f"{command} --out {metrics['run']['name']}/{SAMPLES}"}
    manifest = Path(SAMPLES) / TABLE
    return found | ({"manifest": manifest.as_posix()} if (run.path / manifest).is_file() else {})


def _positions(key: Sequence[KeyMetric]) -> list[dict[str, float]]:
    """Return the places of each metric's marks on an axis that all share, in percent of its length."""
    marks = [
        {"value": each.value, "real": 1.0}
        | ({} if each.baseline is None else {"baseline": each.baseline})
        | (dict(zip(("low", "high"), each.interval, strict=True)) if each.interval else {})
        for each in key
    ]
    end = min(AXIS[1], max(AXIS[0], *(value for each in marks for value in each.values()))) if marks else 1.0
    return [{name: round(100 * min(max(x / end, 0), 1), 1) for name, x in each.items()} for each in marks]


def _privacy_curves(privacy: Privacy | None) -> tuple[Markup, str] | None:
    """Return the ROC curves of an audit as SVG, and its text alternative; None for audits without curves."""
    if not privacy or not privacy.get("curves"):
        return None
    curves, results = privacy["curves"], privacy["results"]
    return Markup(for_page(draw_curves(curves, results))), describe_curves(curves, results)  # noqa: S704  (escaped)


def _curves(run: Run) -> list[Chart]:
    """Draw each term of the model's training, and the loss of each refiner's."""
    logs = read_log(inside(run.path, "log.jsonl"))
    for folder in refiner_folders(run.path, run.configuration).values():
        logs |= {term: log for term, log in read_log(inside(folder, "log.jsonl")).items() if term != "loss"}
    return [chart(term, curves) for term, curves in logs.items()]


def _environment() -> jinja2.Environment:
    environment = html.environment(__package__)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # facts keep their order
    environment.filters |= {
        "number": format_number,
        "sampler": describe,
        "summary": summary,
        "interval": format_interval,
        "describe": words.describe,
        "shortfall": words.shortfall,
    }
    return environment


def _maps(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int]
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Draw class means and spreads of real and generated samples with axes, by modality."""
    maps: dict[str, list[tuple[str, list[Picture]]]] = {}
    for name, part in modalities.items():
        rows = maps.setdefault(name, [])
        for label in labels:
            class_ = evidence.classes[label]
            sets = {
                kind: samples.values[name][samples.labels == label]
                for kind, samples in (("real", evidence.held_out), ("generated", evidence.generated))
            }
            compared = compare(part, sets)
            if compared is not None:
                sizes = " and ".join(f"{len(x)} {kind}" for kind, x in sets.items())
                words = f"Medians and ranges, or shares, of {sizes} samples of {name}, class {class_}"
                rows.append((class_, [Picture(data_uri(compared), words, f"{sizes} samples")]))
                continue
            pictures: dict[str, list[Picture]] = {"mean": [], "spread": []}
            for kind, x in sets.items():
                of = f"of {len(x)} {kind} samples of {name}, class {class_}"
                mean, deviation = with_axes(part, x.mean(0)), x.std(0) if len(x) > 1 else torch.zeros_like(x[0])
                spread, largest = spread_picture(part, deviation)
                pictures["mean"].append(Picture(data_uri(mean), f"Mean {of}", f"mean, {kind}"))
                caption = f"spread, {kind}; largest {format_number(largest)}"
                pictures["spread"].append(Picture(data_uri(spread), f"Standard deviation {of}", caption))
            rows.append((class_, [*pictures["mean"], *pictures["spread"]]))
    return maps


def _tables(metrics: Metrics) -> dict[str, list[tuple[MetricResult, Mapping[str, float]]]]:
    """Group results by the first word of their names, each with the positions of its marks, 0 to 100."""
    tables: dict[str, list[tuple[MetricResult, Mapping[str, float]]]] = {}
    for result in metrics["results"]:
        tables.setdefault(result.name.split("/")[0], []).append((result, _marks(result)))
    return tables


def _marks(result: MetricResult) -> dict[str, float]:
    low, high = result.interval or (None, None)
    values = {"low": low, "high": high, "value": result.value, "real": result.real, "baseline": result.baseline}
    known = {key: value for key, value in values.items() if value is not None and math.isfinite(value)}
    least, most = (pick(known.values(), default=0.0) for pick in (min, max))
    wide = (most - least) or 1.0
    return {key: round(4 + 92 * (value - least) / wide, 1) for key, value in known.items()}


def _by_column(groups: Sequence[SubgroupRecord], tests: Sequence[SubgroupTest]) -> list[dict[str, Any]]:
    """Return the subgroups of each column, and one row per metric with its result in each and whether it is worse."""
    worse = {(each.column, each.value, each.metric) for each in tests if each.worse}
    columns: dict[str, list[SubgroupRecord]] = {}
    for group in groups:
        columns.setdefault(group["column"], []).append(group)
    tables = []
    for column, members in columns.items():
        measured = [group for group in members if group["results"]]
        by_name = [{result.name: result for result in group["results"]} for group in measured]
        names = list(dict.fromkeys(name for results in by_name for name in results))
        rows = [
            (
                name,
                [
                    (results.get(name), (column, group["value"], name) in worse)
                    for group, results in zip(measured, by_name, strict=True)
                ],
            )
            for name in names
        ]
        tables.append({"column": column, "groups": members, "measured": measured, "rows": rows})
    return tables
