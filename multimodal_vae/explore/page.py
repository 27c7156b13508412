"""``explore.html``: one page without anything from elsewhere."""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources

import jinja2
from markupsafe import Markup

from multimodal_vae.explore.frame import SIZE
from multimodal_vae.explore.neighbors import SHOWN
from multimodal_vae.explore.session import END, Session
from multimodal_vae.explore.view import FARTHEST, HOTTEST
from multimodal_vae.report import page as report


@dataclass(frozen=True)
class Page:
    """A page and its content security policy.

    Attributes:
        content: the page, in UTF-8.
        policy: value of the header ``Content-Security-Policy``: it allows the page's own style, script and requests,
            and nothing else.
    """

    content: bytes
    policy: str


def explore_page(title: str, session: Session, with_real: bool = False) -> Page:
    """Return the page of a session.

    Args:
        title: name of the run.
        session: the session, of which the page shows classes and modalities.
        with_real: whether it shows real samples, as the page then says.
    """
    style, script = (_own(name) for name in ("explore.css", "explore.js"))
    style = f"\n{report.template_text('report.css')}{style}\n"
    vae = session.synthesizer.vae
    data = {
        "classes": session.classes,
        "modalities": list(vae.modalities),
        "refined": bool(session.synthesizer.refiners),
        "farthest": FARTHEST,
    }
    content = _ENVIRONMENT.get_template("explore.html").render(
        title=title,
        session=session,
        vae=vae,
        with_real=with_real,
        data=data,
        end=END,
        hottest=HOTTEST,
        shown=SHOWN,
        size=SIZE,
        style=Markup(style),  # noqa: S704  (files of this package)
        script=Markup(script),  # noqa: S704
    )
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(content.encode(), policy)


def _own(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("multimodal_vae.explore"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
