"""An audit on a terminal: a table, and the verdict in words."""

from rich.console import Console
from rich.table import Table

from multimodal_vae.privacy.audit import Audit


def show(found: Audit) -> None:
    """Print every figure beside what gives nothing away, what was found, and what that does not show."""
    console = Console(highlight=False, markup=False)
    table = Table("who", "space", "measure", "value", "interval", "nothing given away")
    for each in found.findings:
        figure = each.figure
        between = "{:.3f} to {:.3f}".format(*figure.interval) if figure.interval else ""
        usual = f"{figure.real:.3f}" if figure.real is not None else ""
        table.add_row(each.who, each.space, each.measure, f"{figure.value:.3f}", between, usual)
    console.print(table)
    for heading, sentences in (("Found", found.verdict.found), ("Not shown", found.verdict.not_shown)):
        console.print(f"{heading}:", *(f"- {sentence}" for sentence in sentences), sep="\n")
