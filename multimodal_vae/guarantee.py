"""What differential privacy guarantees, as numbers and in words."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Guarantee:
    r"""Differential privacy: one unit more or less changes the probability of any result by little.

    .. math:: P(M(x) \in S) \le e^\varepsilon P(M(x') \in S) + \delta

    for all data *x* and *x'* that differ by one unit, and all sets *S* of results.

    Args:
        epsilon: :math:`\varepsilon`, positive; smaller is more private.
        delta: :math:`\delta`, between 0 and 1; it should be well below one over the number of units.
        covers: what may be published under the guarantee: ``"density"``, the fitted density, while the networks learned
            from the same units and are not covered; or ``"samples"``, also the generated samples, since the networks
            learned from others.
        unit: what is added or removed.

    Source: Dwork and Roth (2014), *The Algorithmic Foundations of Differential Privacy*, definition 2.4.

    Example:
        >>> print(Guarantee(1.0, 1e-5, "samples").sentence)
        The samples are differentially private with epsilon = 1 and delta = 1e-05: whether one patient is in the data or
        not changes the probability of any result by a factor of at most 2.7, except with a probability of 1e-05. This
        holds from end to end, since the networks learned from other people.
    """

    epsilon: float
    delta: float
    covers: Literal["density", "samples"]
    unit: str = "patient"

    @property
    def sentence(self) -> str:
        """The guarantee in plain words."""
        unit = self.unit
        if self.covers == "density":
            subject = "The density is"
            scope = f"The networks, which learned from each {unit} too, are not covered, nor are the samples."
        else:
            subject = "The samples are"
            scope = "This holds from end to end, since the networks learned from other people."
        return (
            f"{subject} differentially private with epsilon = {self.epsilon:g} and delta = {self.delta:g}: whether one "
            f"{unit} is in the data or not changes the probability of any result by a factor of at most "
            f"{math.exp(self.epsilon):,.2g}, except with a probability of {self.delta:g}. {scope}"
        )

    def record(self) -> dict[str, Any]:
        """Return the guarantee for a JSON file, with its sentence."""
        return {**asdict(self), "sentence": self.sentence}
