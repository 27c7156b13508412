"""Channels of an EEG: their names and units, and the differences between electrodes that are wanted."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multimodal_vae import DataError
from multimodal_vae.errors import listing
from multimodal_vae.modalities.recordings import Real

STANDARD = [
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz"),
    *("C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2"),
]
"""The 19 electrodes of the international 10-20 system, without those of the ears."""

RENAMED = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
"""Names before 1991, with today's (American Electroencephalographic Society)."""

MICROVOLTS = {"v": 1e6, "mv": 1e3, "uv": 1.0, "\N{MICRO SIGN}v": 1.0, "\N{GREEK SMALL LETTER MU}v": 1.0, "nv": 1e-3}
"""Microvolts per unit, by the unit's name in lower case."""

LONGEST_NAME = 100
"""Characters of a channel's name above which it is refused."""

_BEFORE = re.compile(r"^eeg[\s_:-]*")
_REFERENCE = re.compile(r"[\s_-]*(ref|le|avg|ave|common|cle)$")


def plain_name(channel: str) -> str:
    """Return a channel's name in lower case and today's form, without "EEG" before and a general reference after it.

    Example:
        >>> [plain_name(name) for name in ("EEG Fp1-REF", "Fc5.", "T3", "EEG C3-A2", "EEG T3-LE")]
        ['fp1', 'fc5', 't7', 'c3-a2', 't7']
    """
    text = _BEFORE.sub("", channel.strip().lower()).rstrip(". ")
    text = _REFERENCE.sub("", text) or text
    return "-".join(RENAMED.get(part.strip(), part.strip()) for part in text.split("-"))


class Montage(NamedTuple):
    """How wanted channels follow from those of a file.

    Attributes:
        indices: of the file's channels that are needed.
        weights: (wanted, needed); by which they are summed.
    """

    indices: list[int]
    weights: Real


def find_montage(names: Sequence[str], wanted: Sequence[str], reference: str | Sequence[str]) -> Montage:
    """Return how the wanted channels follow from a file's.

    Args:
        names: names of the file's channels.
        wanted: electrodes; or differences such as "Fp1-F7", which are computed unless the file has them.
        reference: "file" to leave electrodes as recorded, "average" to subtract the mean of the wanted electrodes, or
            names of channels whose mean is subtracted. Differences do not change.

    Raises:
        DataError: if a channel is missing, or two have one name.
    """
    if (longest := max(map(len, names), default=0)) > LONGEST_NAME:
        raise DataError(f"has a channel whose name has {longest} characters; {LONGEST_NAME} are allowed")
    plain = [plain_name(name) for name in names]

    def row(channel: str) -> Real:
        name = plain_name(channel)
        first, minus, second = name.partition("-")
        if minus and name not in plain:
            return row(first) - row(second)
        if plain.count(name) != 1:
            fault = "several channels" if name in plain else "no channel"
            raise DataError(f"has {fault} {channel!r} among {listing(names)}; set 'channels' to those of every file")
        unit: Real = np.eye(len(names))[plain.index(name)]
        return unit

    weights = np.stack([row(channel) for channel in wanted])
    electrodes = ["-" not in plain_name(channel) for channel in wanted]
    if any(electrodes) and reference != "file":
        sources = weights[electrodes] if reference == "average" else np.stack([row(name) for name in reference])
        weights[electrodes] -= sources.mean(0)
    used = np.flatnonzero(weights.any(0))
    return Montage(used.tolist(), weights[:, used])


def in_microvolts(channels: Sequence[str], units: Sequence[str]) -> Real:
    """Return the microvolts per unit of each channel, (channels, 1).

    Raises:
        DataError: if a unit is not one of voltage.
    """
    for channel, unit in zip(channels, units, strict=True):
        if unit.strip().lower() not in MICROVOLTS:
            raise DataError(f"has channel {channel!r} in the unit {unit!r}; convert it to uV, or leave the channel out")
    return np.array([[MICROVOLTS[unit.strip().lower()]] for unit in units])
