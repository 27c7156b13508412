"""``report.html``: one self-contained file that loads nothing from the network."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import tomli_w
import torch
from markupsafe import Markup
from torch import Tensor

from multimodal_vae.evaluation.result import MetricResult, format_interval, format_number
from multimodal_vae.files import inside
from multimodal_vae.modalities.base import Modality
from multimodal_vae.privacy.picture import describe_curves, draw_curves, for_page
from multimodal_vae.privacy.result import FILE as PRIVACY_FILE
from multimodal_vae.privacy.summary import summary
from multimodal_vae.report import words
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
    evenly,
    latent_map,
    read_log,
    sheet,
    spread_picture,
    tiles,
    with_axes,
)
from multimodal_vae.report.records import Evidence, Metrics, Privacy, SubgroupRecord
from multimodal_vae.report.samplers import describe
from multimodal_vae.run import Run
from multimodal_vae.run_folder import refiner_folders

MAX_BYTES = 15_000_000
"""Maximum size of a page."""
_MAP_BYTES, _GALLERY_BYTES = MAX_BYTES / 2, MAX_BYTES / 4  # the rest is for class maps, tables and text
_TILE, _GAP, _ACROSS, _TILES, _POINTS = 96, 3, 3, 6, 400
MAX_CLASSES = 10
"""Maximum number of classes with pictures."""


@dataclass(frozen=True)
class Picture:
    """A picture in the page: data URI, text alternative and caption."""

    source: str
    words: str
    caption: str


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
    script = template_text("latent_map.js")
    return (
        environment()
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
            galleries=_galleries(modalities, evidence, labels),
            maps=_maps(modalities, evidence, labels),
            map=map_,
            map_size=MAP_SIZE,
            tile=TILE_SIDE,
            columns=COLUMNS,
            points=[{"facts": dict(point.facts)} for point in map_.points],
            shortfalls=words.shortfalls(metrics["results"]),
            cautions=words.cautions(metrics, privacy),
            worse_subgroups=words.worse_subgroups(metrics),
            chance=words.CHANCE,
            worse_subgroup=words.WORSE_SUBGROUP,
            tables=_tables(metrics),
            by_column=_by_column(metrics["subgroups"]),
            privacy=privacy,
            privacy_file=PRIVACY_FILE,
            privacy_curves=_privacy_curves(privacy),
            settings=tomli_w.dumps(metrics["run"]["configuration"]),
            style=Markup(template_text("report.css")),  # noqa: S704  (a file of this package)
            script=Markup(script),  # noqa: S704
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


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


def environment() -> jinja2.Environment:
    """Return the environment of HTML templates, which escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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


def template_text(name: str) -> str:
    """Return the text of a template of this package."""
    return (resources.files(__package__) / "templates" / name).read_text("utf-8")


def _galleries(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int]
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Draw originals, reconstructions and generated samples per class, by modality; the same samples in each."""
    most = affordable(_TILES, 3 * len(modalities) * len(labels), _TILE, _GALLERY_BYTES)
    sources: dict[str, tuple[Mapping[str, Tensor], Tensor]] = {
        "originals": (evidence.held_out.values, evidence.held_out.labels),
        "reconstructions": (evidence.reconstructions, evidence.held_out.labels),
        "generated": (evidence.generated.values, evidence.generated.labels),
    }
    galleries: dict[str, list[tuple[str, list[Picture]]]] = {}
    for name, part in modalities.items():
        rows = galleries.setdefault(name, [])
        for label in labels:
            pictures = []
            for source, (values, of) in sources.items():
                members = (of == label).nonzero()[:, 0]
                chosen = members[evenly(len(members), most)]
                cohort = evidence.held_out.values[name][evidence.held_out.labels == label]
                drawn = tiles(part.against(cohort), values[name][chosen], _TILE)
                text = f"{len(drawn)} {source} of {name}, class {evidence.classes[label]}"
                pictures.append(Picture(data_uri(sheet(drawn, min(_ACROSS, len(drawn)), _GAP)), text, source))
            rows.append((evidence.classes[label], pictures))
    return galleries


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


def _by_column(groups: Sequence[SubgroupRecord]) -> list[dict[str, Any]]:
    """Return the subgroups of each column, and one row per metric with its result in each subgroup."""
    columns: dict[str, list[SubgroupRecord]] = {}
    for group in groups:
        columns.setdefault(group["column"], []).append(group)
    tables = []
    for column, members in columns.items():
        measured = [group for group in members if group["results"]]
        by_name = [{result.name: result for result in group["results"]} for group in measured]
        names = list(dict.fromkeys(name for results in by_name for name in results))
        rows = [(name, [results.get(name) for results in by_name]) for name in names]
        tables.append({"column": column, "groups": members, "measured": measured, "rows": rows})
    return tables
