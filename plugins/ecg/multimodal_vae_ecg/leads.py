"""Leads of a recording: which are wanted, and what their unit is."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.errors import listing

Real = NDArray[np.float64]

MILLIVOLTS = {
    **dict.fromkeys(("v", "volt", "volts"), 1e3),
    **dict.fromkeys(("mv", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(("uv", "\N{MICRO SIGN}v", "\N{GREEK SMALL LETTER MU}v", "mcv", "microvolt", "microvolts"), 1e-3),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6),
}
"""Millivolts per unit, by the unit's name in lower case."""

NO_UNIT = "no unit in the file, taken as mV"
"""Note on a sample whose file does not state a unit."""

LONGEST_NAME = 200
"""Characters of a signal's name above which it is refused."""

_UNIT_AFTER_NAME = re.compile(
    rf"(?:(.*?)[\s_/,:|.-]+)?({'|'.join(sorted(set(MILLIVOLTS) - {'v'}, key=len, reverse=True))})", re.IGNORECASE
)
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[{<]([^()\[\]{}<>]*)[)\]}>]\s*")

_LABELED_ECG = re.compile(r"(?<![a-z])e[ck]g")
_LEAD = re.compile(
    r"-?((m?l?|d)i{1,3}|(m?l|d)[123]|m?av[rlf]|m?v\d{0,2}r?|v[xyz]|(mod\.?)?v\d(v\d)?|(mcl|mv|c[bcmrs]|ma)\d|es|as|ai)"
)
_INVERTED = re.compile(r"((ecg|ekg|lead)\s+)?[\N{MINUS SIGN}-](?=\w)")
_NUMBERED = re.compile(r"(lead|ch|chan|channel|signal|sig|col|column)\d*|\d+")


def name_and_unit(text: str) -> tuple[str, str | None]:
    """Split a column's name from its unit, which is in brackets or, except for V, at the end.

    Example:
        >>> [name_and_unit(text) for text in ("II (uV)", "II [V]", "aVR_mV", "V")]
        [('II', 'uV'), ('II', 'V'), ('aVR', 'mV'), ('V', None)]

    Raises:
        DataError: if the text is longer than :data:`LONGEST_NAME`.
    """
    text = text.strip()
    if len(text) > LONGEST_NAME:
        raise DataError(f"has a column whose name has {len(text)} characters; {LONGEST_NAME} are allowed")
    if match := _UNIT_IN_BRACKETS.fullmatch(text) or _UNIT_AFTER_NAME.fullmatch(text):
        return (match[1] or "").strip() or "lead", match[2].strip() or None
    return text, None


def in_millivolts(leads: Sequence[str], units: Sequence[str | None]) -> Real:
    """Return the millivolts per unit of each lead, (leads, 1); a missing unit means mV.

    Raises:
        DataError: if a unit is not one of voltage.
    """
    for lead, unit in zip(leads, units, strict=True):
        if unit is not None and unit.strip().lower() not in MILLIVOLTS:
            raise DataError(f"has lead {lead!r} in the unit {unit!r}; convert it to mV, or set 'leads' to other leads")
    return np.array([[1.0 if unit is None else MILLIVOLTS[unit.strip().lower()]] for unit in units])


def plain_name(lead: str) -> str:
    """Return a lead's name in lower case, without blanks and without "ECG", "EKG" or "lead" before it.

    A minus before the name, of an inverted lead, stays.

    Example:
        >>> [plain_name(name) for name in ("ECG-II", "+aVF", "Lead -aVR")]
        ['ii', 'avf', '-avr']
    """
    text = lead.strip().lower()
    sign = "-" if _INVERTED.match(text) else ""
    return sign + re.sub(r"^(ecg|ekg|lead)(?=.)|[\s_+\N{MINUS SIGN}-]", "", text)


def choose_leads(leads: Sequence[str], wanted: int | Sequence[str]) -> list[int]:
    """Return the indices of the wanted leads.

    A number of leads takes the first ones whose names are those of ECG leads, or, if there are none, the first ones
    with numbers for names. Other signals are taken by name only.

    Args:
        leads: names of all signals of the file.
        wanted: names, or a number.

    Raises:
        DataError: if there are not enough leads, or a name is missing or ambiguous.
    """
    listed = listing(leads)
    if (longest := max(map(len, leads), default=0)) > LONGEST_NAME:
        raise DataError(f"has a signal whose name has {longest} characters; {LONGEST_NAME} are allowed")
    names = [plain_name(lead) for lead in leads]
    if isinstance(wanted, int):
        ecg = [index for index, lead in enumerate(leads) if is_ecg(lead)]
        numbered = [index for index, lead in enumerate(leads) if _NUMBERED.fullmatch(re.sub(r"\W|_", "", lead.lower()))]
        choice = ecg or numbered
        if leads and not choice:
            raise DataError(f"has no signal named as an ECG lead, only {listed}; set 'leads' to the names to read")
        if wanted > len(choice):
            count = f"{len(choice)} lead{'s' * (len(choice) != 1)} ({listing(leads[i] for i in choice)})"
            raise DataError(f"has {count}, and {wanted} are wanted")
        return choice[:wanted]
    for lead in wanted:
        if names.count(plain_name(lead)) != 1:
            fault = "several leads" if plain_name(lead) in names else "no lead"
            raise DataError(f"has {fault} {lead!r} among {listed}; rename one, or set 'leads' to other names")
    return [names.index(plain_name(lead)) for lead in wanted]


def is_ecg(lead: str) -> bool:
    """Return whether a signal's name contains "ECG" or "EKG", or is the name of a lead.

    Example:
        >>> [is_ecg(name) for name in ("MLII", "EEG EKG1-REF", "V5", "EEG C3-A2", "PLETH")]
        [True, True, True, False, False]
    """
    return bool(_LABELED_ECG.search(lead.lower()) or _LEAD.fullmatch(plain_name(lead)))
