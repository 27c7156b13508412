"""Pictures of samples, by class and modality: single ones with axes, and sheets of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.report.pictures import affordable, data_uri, evenly, sheet, tiles, with_axes
from multimodal_vae.report.records import Evidence

MAX_EXAMPLES = 3
"""Maximum number of classes with an example."""
_TILE, _GAP, _ACROSS, _TILES = 96, 3, 3, 6
_EXAMPLE_SIDE = 274  # of a square as large as a picture with axes


@dataclass(frozen=True)
class Picture:
    """A picture in the page: data URI, text alternative and caption."""

    source: str
    words: str
    caption: str


Gallery = Mapping[str, Sequence[tuple[str, Sequence[Picture]]]]
"""Pictures by heading, such as a class, and by heading below it, such as a modality."""


def examples(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int], budget: float
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Draw an original, its reconstruction and a generated sample of each class with axes, by class and modality.

    They are the middle ones of their class in the order of the data, so that nobody chooses them. Their axes are alike.

    Args:
        modalities: modalities by name.
        evidence: the samples.
        labels: classes to show, at most :data:`MAX_EXAMPLES` of which have an example.
        budget: bytes that all pictures may take.
    """
    most = affordable(MAX_EXAMPLES, 3 * len(modalities), _EXAMPLE_SIDE, budget)
    shown: dict[str, list[tuple[str, list[Picture]]]] = {}
    for label in labels[:most]:
        kind = evidence.classes[label]
        cohort = evidence.held_out.labels == label
        for name, part in modalities.items():
            drawn = part.against(evidence.held_out.values[name][cohort])
            samples = {}
            for source, (values, of) in _sources(evidence).items():
                members = (of == label).nonzero()[:, 0]
                samples[source] = values[name][members[len(members) // 2]]
            alike = cast("Modality", _SameLimits.of(drawn, list(samples.values())))  # only its plot is called
            pictures = [
                Picture(data_uri(with_axes(alike, x)), f"{source} of {name}, class {kind}", source)
                for source, x in samples.items()
            ]
            shown.setdefault(kind, []).append((name, pictures))
    return shown


Limits = tuple[float, float]


@dataclass(frozen=True)
class _SameLimits:
    """The plots of a modality, on axes that have the same limits for all samples."""

    part: Modality
    x: Limits
    y: Limits

    @classmethod
    def of(cls, part: Modality, samples: Sequence[Tensor]) -> Self:
        """Return the plots on axes that hold each of the samples."""
        limits = []
        for sample in samples:
            ax = Figure().add_subplot()
            part.plot(sample, ax)
            limits.append((ax.get_xlim(), ax.get_ylim()))
        x, y = (_union(each) for each in zip(*limits, strict=True))
        return cls(part, x, y)

    def plot(self, sample: Tensor, ax: Axes) -> None:
        """Plot one sample."""
        self.part.plot(sample, ax)
        ax.set(xlim=self.x, ylim=self.y)


def _union(limits: Sequence[Limits]) -> Limits:
    """Return the limits that hold all others, in the direction of the first.

    Example:
        >>> _union([(0, 1), (-1, 0.5)]), _union([(8, 0), (9, 1)])
        ((-1, 1), (9, 0))
    """
    ends = [end for each in limits for end in each]
    return (min(ends), max(ends)) if limits[0][0] <= limits[0][1] else (max(ends), min(ends))


def galleries(
    modalities: Mapping[str, Modality], evidence: Evidence, labels: Sequence[int], budget: float
) -> dict[str, list[tuple[str, list[Picture]]]]:
    """Draw sheets of originals, reconstructions and generated samples, by modality and class; the same ones in each.

    Args:
        modalities: modalities by name.
        evidence: the samples.
        labels: classes to show.
        budget: bytes that all pictures may take.
    """
    most = affordable(_TILES, 3 * len(modalities) * len(labels), _TILE, budget)
    shown: dict[str, list[tuple[str, list[Picture]]]] = {}
    for name, part in modalities.items():
        for label in labels:
            pictures = []
            for source, (values, of) in _sources(evidence).items():
                members = (of == label).nonzero()[:, 0]
                chosen = members[evenly(len(members), most)]
                cohort = evidence.held_out.values[name][evidence.held_out.labels == label]
                drawn = tiles(part.against(cohort), values[name][chosen], _TILE)
                text = f"{len(drawn)} samples, {source}, of {name}, class {evidence.classes[label]}"
                pictures.append(Picture(data_uri(sheet(drawn, min(_ACROSS, len(drawn)), _GAP)), text, source))
            shown.setdefault(name, []).append((evidence.classes[label], pictures))
    return shown


def _sources(evidence: Evidence) -> dict[str, tuple[Mapping[str, Tensor], Tensor]]:
    """Return samples and labels by what they are."""
    return {
        "original": (evidence.held_out.values, evidence.held_out.labels),
        "reconstructed": (evidence.reconstructions, evidence.held_out.labels),
        "generated": (evidence.generated.values, evidence.generated.labels),
    }
