"""Cells of a table that a spreadsheet would take for formulas; without torch."""

import re

_FORMULA = re.compile(r"[\s']*[=+\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\uFF0D\uFF20]|[\t\r\n]")
_NUMBERS = re.compile(r"(?:\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\s|$))+")


def quote_formula(cell: str) -> str:
    """Put a single quote before a cell that a spreadsheet could take for a formula; numbers stay as they are.

    Source: OWASP, *CSV Injection*.

    Example:
        >>> quote_formula("=SUM(A1)"), quote_formula("-1.5 2"), quote_formula("AOM")
        ("'=SUM(A1)", '-1.5 2', 'AOM')
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBERS.fullmatch(cell) else cell


def unquote_formula(cell: str) -> str:
    """Return the cell that :func:`quote_formula` was given."""
    return cell[1:] if cell[:1] == "'" and quote_formula(cell[1:]) != cell[1:] else cell
