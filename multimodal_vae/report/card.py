"""``card.md``: a model card, in the order of Mitchell et al., *Model cards for model reporting* (2019)."""

import re
from typing import Any

import jinja2

from multimodal_vae.report import words
from multimodal_vae.report.metrics import Metrics
from multimodal_vae.report.page import _text
from multimodal_vae.report.privacy import Privacy

FILE = "card.md"


def model_card(metrics: Metrics, privacy: Privacy | None) -> str:
    """The card, out of an evaluation.

    Args:
        metrics: of the run.
        privacy: its audit, if there was one.
    """
    configuration = metrics["run"]["configuration"]
    card = _ENVIRONMENT.get_template("card.md").render(
        metrics=metrics,
        run=metrics["run"],
        evaluated=metrics["evaluated"],
        model=configuration.get("model", {}),
        training=configuration.get("training", {}),
        modalities=configuration.get("modalities", {}),
        license=configuration.get("license"),
        shortfalls=words.shortfalls(metrics["figures"]),
        cautions=words.cautions(metrics, privacy),
        uneven=words.uneven(metrics),
        privacy=privacy,
    )
    return card.strip() + "\n"


def escaped(value: Any) -> str:
    r"""Text as Markdown shows it letter by letter, in one line.

    Example:
        >>> print(escaped("a|b <i>*c*"))
        a\|b &lt;i&gt;\*c\*
    """
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FunctionLoader(_text),
    finalize=escaped,  # of whatever is put in: Markdown has no escaping of its own in Jinja
    autoescape=False,  # noqa: S701  (it is no HTML)
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"shown": words.shown, "between": words.between}
