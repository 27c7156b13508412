"""The common form of recordings, whatever their file format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Record:
    """The wanted leads of a recording; samples are read on demand.

    Attributes:
        rate: samples per second.
        leads: names, as the file writes them.
        samples: number of samples of each lead.
        load: returns (leads, samples) in mV, from the first sample to the last, exclusive; NaN in gaps.
        prepared: whether the file says that it holds a sample in its final form.
        notes: what was assumed because the file does not state it.
    """

    rate: float
    leads: Sequence[str]
    samples: int
    load: Callable[[int, int], Real]
    prepared: bool = False
    notes: Sequence[str] = ()
