"""``report.html``: one file that shows all, opens from a mail attachment, and asks nothing of any network."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import tomli_w
import torch
from markupsafe import Markup
from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.report import charts, latent_map, words
from multimodal_vae.report.measuring import Evidence
from multimodal_vae.report.metrics import MetricRecord, Metrics, SubgroupRecord
from multimodal_vae.report.pictures import as_many, data_uri, evenly, sheet, spread_picture, tile, with_axes
from multimodal_vae.report.privacy import FILE as PRIVACY_FILE
from multimodal_vae.report.privacy import Privacy
from multimodal_vae.run import Run

LARGEST = 15_000_000
"""Bytes of a page, whatever it shows."""
_MAP, _GALLERY = LARGEST / 2, LARGEST / 4  # bytes at the most; the rest is for class maps, tables and words
_TILE, _GAP, _ACROSS, _TILES, _POINTS = 96, 3, 3, 6, 400
MOST_CLASSES = 10
"""Classes of which pictures are shown."""


@dataclass(frozen=True)
class Picture:
    """A picture within the page: its address, what it shows in words, and what stands below it."""

    source: str
    words: str
    caption: str


def report_page(run: Run, metrics: Metrics, evidence: Evidence, privacy: Privacy | None) -> str:
    """The page.

    Args:
        run: what is reported on.
        metrics: of it.
        evidence: the samples behind them.
        privacy: its audit, if there was one.
    """
    modalities = run.model.modalities
    shown = evidence.held_out.counts()
    labels = list(shown)[:MOST_CLASSES]
    most = as_many(_POINTS, len(modalities), latent_map.SIDE, _MAP)
    points = latent_map.latent_map(modalities, evidence, most)
    log = charts.read_log(run.path / "log.jsonl")
    script = _text("latent_map.js")
    return (
        environment()
        .get_template("report.html")
        .render(
            metrics=metrics,
            run=metrics["run"],
            evaluated=metrics["evaluated"],
            modalities=modalities,
            classes=evidence.classes,
            omitted=len(shown) - len(labels),
            curves=charts.charts(log),
            chart_size=(charts.WIDTH, charts.HEIGHT),
            galleries=_galleries(modalities, evidence, labels),
            maps=_maps(modalities, evidence, labels),
            map=points,
            map_size=(latent_map.WIDTH, latent_map.HEIGHT),
            tile=latent_map.SIDE,
            columns=latent_map.COLUMNS,
            points=[{"facts": dict(point.facts)} for point in points.points],
            shortfalls=words.shortfalls(metrics["figures"]),
            cautions=words.cautions(metrics, privacy),
            uneven=words.uneven(metrics),
            likely=words.LIKELY_CHANCE,
            harder=words.HARDER,
            tables=_tables(metrics),
            by_column=_by_column(metrics["subgroups"]),
            privacy=privacy,
            privacy_file=PRIVACY_FILE,
            settings=tomli_w.dumps(metrics["run"]["configuration"]),
            style=Markup(_text("report.css")),  # noqa: S704  (a file of this package)
            script=Markup(script),  # noqa: S704
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def environment() -> jinja2.Environment:
    """The templates of pages, which escape whatever is put into them."""
    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": False}  # facts come in the order of their weight
    found.filters |= {"shown": words.shown, "between": words.between, "question": words.question, "side": words.side}
    return found


def _text(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text("utf-8")


def _galleries(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int]
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Originals, reconstructions and generated samples of each class, by modality; in every one the same samples."""
    most = as_many(_TILES, 3 * len(modalities) * len(labels), _TILE, _GALLERY)
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
            for what, (values, of) in sources.items():
                found = (of == label).nonzero()[:, 0]
                chosen = found[evenly(len(found), most)]
                tiles = [tile(part, x, _TILE) for x in values[name][chosen]]
                words_ = f"{len(tiles)} {what} of {name}, class {evidence.classes[label]}"
                pictures.append(Picture(data_uri(sheet(tiles, min(_ACROSS, len(tiles)), _GAP)), words_, what))
            rows.append((evidence.classes[label], pictures))
    return galleries


def _maps(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int]
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Class means and spreads of real and of generated samples, by modality, with axes."""
    maps: dict[str, list[tuple[str, list[Picture]]]] = {}
    for name, part in modalities.items():
        rows = maps.setdefault(name, [])
        for label in labels:
            pictures: dict[str, list[Picture]] = {"mean": [], "spread": []}
            for whose, samples in (("real", evidence.held_out), ("generated", evidence.generated)):
                x = samples.values[name][samples.labels == label]
                of = f"of {len(x)} {whose} samples of {name}, class {evidence.classes[label]}"
                mean, spread = with_axes(part, x.mean(0)), x.std(0) if len(x) > 1 else torch.zeros_like(x[0])
                drawn, largest = spread_picture(part, spread)
                pictures["mean"].append(Picture(data_uri(mean), f"Mean {of}", f"mean, {whose}"))
                caption = f"spread, {whose}; largest {words.shown(largest)}"
                pictures["spread"].append(Picture(data_uri(drawn), f"Standard deviation {of}", caption))
            rows.append((evidence.classes[label], [*pictures["mean"], *pictures["spread"]]))
    return maps


def _tables(metrics: Metrics) -> dict[str, list[tuple[MetricRecord, Mapping[str, float]]]]:
    """Figures by the first word of their names, each with the places of its marks in a strip of 100 units."""
    tables: dict[str, list[tuple[MetricRecord, Mapping[str, float]]]] = {}
    for figure in metrics["figures"]:
        tables.setdefault(figure["name"].split("/")[0], []).append((figure, _strip(figure)))
    return tables


def _strip(figure: MetricRecord) -> dict[str, float]:
    low, high = figure["interval"] or (None, None)
    marks = {"low": low, "high": high, **{key: figure[key] for key in ("value", "real", "baseline")}}
    known = {key: float(mark) for key, mark in marks.items() if mark is not None}
    least, most = (pick(known.values(), default=0.0) for pick in (min, max))
    wide = (most - least) or 1.0
    return {key: round(4 + 92 * (mark - least) / wide, 1) for key, mark in known.items()}


def _by_column(groups: Sequence[SubgroupRecord]) -> list[dict[str, Any]]:
    """For each column its groups, and rows of a figure with its records in each."""
    columns: dict[str, list[SubgroupRecord]] = {}
    for group in groups:
        columns.setdefault(group["column"], []).append(group)
    tables = []
    for column, found in columns.items():
        measured = [group for group in found if group["figures"]]
        names = list(dict.fromkeys(figure["name"] for group in measured for figure in group["figures"]))
        by_name = [{figure["name"]: figure for figure in group["figures"]} for group in measured]
        rows = [(name, [figures.get(name) for figures in by_name]) for name in names]
        tables.append({"column": column, "groups": found, "measured": measured, "rows": rows})
    return tables
