"""What rich draws, as an output of a notebook's cell that changes in place."""

import io
import time

from rich.console import Console, RenderableType

INTERVAL = 0.2
"""Least time between two drawings, in seconds; each is a message to the browser."""

_WIDTH = 100
_HTML = '<pre style="margin: 0; line-height: 1.3; white-space: pre; overflow-x: auto">{code}</pre>'


class CellOutput:
    """An output of the current cell; rich's own needs ipywidgets, which are not everywhere.

    Args:
        content: what is drawn; it may change between two calls of :meth:`refresh`.
    """

    def __init__(self, content: RenderableType) -> None:
        from IPython.display import display  # a notebook has it

        self._content, self._drawn = content, time.monotonic()
        self._handle = display(_rendered(content), raw=True, display_id=True)

    def refresh(self) -> None:
        """Draw the content anew, unless it was drawn a moment ago."""
        if time.monotonic() - self._drawn >= INTERVAL:
            self._handle.update(_rendered(self._content), raw=True)
            self._drawn = time.monotonic()

    def close(self, last: RenderableType = "") -> None:
        """Replace the content by what stays in the notebook. Default: nothing."""
        self._handle.update(_rendered(last), raw=True)


def _rendered(content: RenderableType) -> dict[str, str]:
    """Return what rich draws, as plain text and as HTML."""
    console = Console(
        file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False, highlight=False
    )
    console.print(content, markup=False, end="", soft_wrap=isinstance(content, str))
    text = console.export_text(clear=False).strip("\n")
    return {"text/plain": text, "text/html": console.export_html(code_format=_HTML, inline_styles=True) if text else ""}
