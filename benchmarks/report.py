"""Printing of Markdown sections with tables."""

from collections.abc import Iterable, Sequence


def section(title: str, prose: str = "") -> None:
    """Print the title and prose of a section."""
    print(f"## {title}\n\n{prose.strip()}\n", flush=True)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table row by row, since some rows take a minute."""
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


def duration(seconds: float) -> str:
    """Return a duration with three digits and its unit.

    Example:
        >>> duration(12.345), duration(0.0123), duration(0.000123)
        ('12.3 s', '12.3 ms', '0.123 ms')
    """
    value, unit = (seconds, "s") if seconds >= 1 else (1000 * seconds, "ms")
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
