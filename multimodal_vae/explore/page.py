"""``explore.html``: one page without anything from elsewhere."""

from dataclasses import dataclass

from markupsafe import Markup

from multimodal_vae.explore.frame import SIZE
from multimodal_vae.explore.neighbors import SHOWN
from multimodal_vae.explore.session import END, Session
from multimodal_vae.explore.view import FARTHEST, HOTTEST
from multimodal_vae.report import html


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
    style, script = (html.template_text(name, __package__) for name in ("explore.css", "explore.js"))
    style = f"\n{html.style_with_controls(style)}\n"
    vae = session.synthesizer.vae
    data = {
        "classes": session.classes,
        "modalities": list(vae.modalities),
        "refined": bool(session.synthesizer.refiners),
        "farthest": FARTHEST,
    }
    content = (
        html.environment(__package__)
        .get_template("explore.html")
        .render(
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
    )
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src '{html.sha256(style)}'; "
        f"script-src '{html.sha256(script)}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(content.encode(), policy)
