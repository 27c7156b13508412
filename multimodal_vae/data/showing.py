"""What a data set shows of itself: a few lines, and pictures of its samples."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from multimodal_vae.data.columns import SampleColumns
from multimodal_vae.data.covariates import Covariate
from multimodal_vae.modalities.base import Modality
from multimodal_vae.overview import Overview, counted, shaped

if TYPE_CHECKING:
    from multimodal_vae.plots import SampleFigure


class Shown(Overview):
    """The description and the pictures of a data set."""

    modalities: dict[str, Modality]
    present: Tensor
    labels: Tensor
    classes: list[str]
    ids: list[str]
    patients: list[str]
    covariate_types: list[Covariate]

    @property
    def samples(self) -> SampleColumns:
        """(N, *shape) by modality."""
        raise NotImplementedError

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return the number of samples and patients; and the classes, modalities and missing cells."""
        count, entries = len(self.ids), dict[str, str]()
        counts = {name: int((self.labels == index).sum()) for index, name in enumerate(self.classes)}
        unlabeled = count - sum(counts.values())
        entries["classes"] = counted(counts) + (f"; {unlabeled:,} unlabeled" if unlabeled else "")
        for (name, part), present in zip(self.modalities.items(), self.present.sum(0).tolist(), strict=True):
            missing = f"; missing in {count - present:,}" if present < count else ""
            entries[f"modality {name}"] = f"{part.name}, {shaped(part.shape)}{missing}"
        entries["missing cells"] = f"{int((~self.present).sum()):,} of {self.present.numel():,}"
        if self.covariate_types:
            entries["covariates"] = ", ".join(each.name for each in self.covariate_types)
        return f"{type(self).__name__}: {count:,} samples of {len({*self.patients}):,} patients", entries

    def plot(self, count: int = 2) -> "SampleFigure":
        """Draw samples of each class, with the modalities of a sample side by side; notebooks show the figure.

        Args:
            count: number of samples per class, evenly spaced among those of the class.

        Raises:
            DataError: if there is no sample to draw.
        """
        from multimodal_vae.plots import evenly, plot_rows

        rows, titles = list[int](), list[str]()
        for index, label in enumerate(self.classes or [""]):
            of_class = (self.labels == (index if self.classes else -1)).nonzero()[:, 0].tolist()
            chosen = evenly(of_class, count)
            rows += chosen
            titles += [label] * len(chosen)
        names = list(self.modalities)
        drawn = [
            {name: self.samples.columns[name][self.labels.new_tensor([row])][0] for name in names if here[name]}
            for row in rows
            for here in [dict(zip(names, self.present[row].tolist(), strict=True))]
        ]
        return plot_rows(self.modalities, drawn, titles)
