"""``card.md``: a model card in the order of Mitchell et al., *Model cards for model reporting* (2019)."""

import re
from typing import Any

import jinja2

from multimodal_vae.evaluation.result import format_interval, format_number
from multimodal_vae.privacy.summary import summary
from multimodal_vae.report import words
from multimodal_vae.report.html import template_text
from multimodal_vae.report.records import Metrics, Privacy
from multimodal_vae.report.samplers import describe
from multimodal_vae.report.subgroups import compare_subgroups, worse_subgroups

FILE = "card.md"


def model_card(metrics: Metrics, privacy: Privacy | None) -> str:
    """Return the card of an evaluated run.

    Args:
        metrics: its evaluation.
        privacy: its audit, if any.
    """
    configuration = metrics["run"]["configuration"]
    card = _ENVIRONMENT.get_template("card.md").render(
        metrics=metrics,
        run=metrics["run"],
        evaluated=metrics["evaluated"],
        model=configuration["model"],
        modalities=configuration["modalities"],
        license=configuration.get("license"),
        shortfalls=words.shortfalls(metrics["results"]),
        cautions=words.cautions(metrics, privacy),
        worse_subgroups=worse_subgroups(compare_subgroups(metrics)),
        privacy=privacy,
    )
    return card.strip() + "\n"


def escaped(value: Any) -> str:
    r"""Return text as one line that Markdown shows literally.

    Example:
        >>> print(escaped("a|b <i>*c*"))
        a\|b &lt;i&gt;\*c\*
    """
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FunctionLoader(template_text),
    finalize=escaped,  # escapes every value, since Jinja has no escaping for Markdown
    autoescape=False,  # noqa: S701  (not HTML)
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "number": format_number,
    "interval": format_interval,
    "sampler": describe,
    "summary": summary,
}
