"""What self-contained pages share: templates that escape every value, and hashes for their content security policy."""

import base64
import hashlib
from importlib import resources

import jinja2


def template_text(name: str, package: str = __package__) -> str:
    """Return the text of a template of a package, by default of this one, whose style all pages have."""
    return (resources.files(package) / "templates" / name).read_text("utf-8")


def style_with_controls(own: str) -> str:
    """Return the style of a page with choices and buttons: what all such pages have, and then its own."""
    return template_text("report.css") + template_text("controls.css") + own


def environment(package: str) -> jinja2.Environment:
    """Return the environment of a package's HTML templates; what it lacks is taken from this package."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(__package__)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def sha256(text: str) -> str:
    """Return the hash of a script or a style as a content security policy writes it, without quotes.

    Example:
        >>> sha256("")
        'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
