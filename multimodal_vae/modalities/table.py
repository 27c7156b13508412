"""Tables: columns of a manifest, each of its own type, with missing entries."""

import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError, DataError, MultimodalVAEWarning, did_you_mean, listing
from multimodal_vae.files import csv_row, split_csv_row
from multimodal_vae.measurements import holds_code
from multimodal_vae.modalities.base import Modality
from multimodal_vae.modalities.column_types import WORDED, TableColumn, complete, is_empty
from multimodal_vae.modalities.ranges import Numbers, Words, draw_ranges
from multimodal_vae.modalities.vector import BOUND, DROPOUT
from multimodal_vae.nn import LinearAndMLP
from multimodal_vae.nn.standardize import moments
from multimodal_vae.nn.table import MeanAndIndicator, TableDistribution, TableInput, TableLayout, TableOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 24
"""Most columns of a plot."""

_PATTERN = "*?["


class Table(Modality):
    """Columns of a manifest, or of files joined to it, each of its own type; entries may be missing.

    A sample is (C,): numbers in the units of the data, whole numbers for counts, the index of a word; NaN is a missing
    entry. It enters the encoder as the mean with an indicator, and counts nothing in the loss.

    Args:
        columns: names of columns, or patterns such as ``"mbx_*"``, whose types are guessed once from the data; or, by
            name or pattern, a type or a table of a :class:`~multimodal_vae.modalities.column_types.TableColumn`.
        hidden: width of the perceptron's two hidden layers.

    Example:
        >>> table = Table(columns={"age": "count", "sex": {"type": "binary", "words": ["f", "m"]}, "crp": "positive"})
        >>> table.read("61,m,")
        array([61.,  1., nan], dtype=float32)
    """

    cell: Literal["path", "value"] = "value"
    gaps: ClassVar[bool] = True

    def __init__(
        self,
        columns: Annotated[dict[str, TableColumn], Field(min_length=1)] | Annotated[list[str], Field(min_length=1)],
        hidden: PositiveInt = 256,
    ) -> None:
        self.columns = list(columns)
        repeated = [name for name in self.columns if self.columns.count(name) > 1] if len(columns) < 1000 else []
        if repeated:
            raise ConfigurationError(f"{self.name!r}: the column {repeated[0]!r} is given twice; name it once")
        self.hidden = hidden
        self._cohort: Tensor | None = None
        given = columns if isinstance(columns, dict) else {}
        self.types = {name: TableColumn.model_validate(column) for name, column in given.items()}

    @property
    def is_settled(self) -> bool:
        """Whether the type of each column is known."""
        complete = bool(self.types) and all(column.is_complete for column in self.types.values())
        return complete and not any(set(name) & {*_PATTERN} for name in self.columns)

    def settle(self, columns: Mapping[str, Sequence[str]]) -> "Table":
        """Return the table with its patterns expanded, and types and words found in a manifest's columns.

        Raises:
            DataError: naming the column and its fault.

        Warns:
            MultimodalVAEWarning: naming columns that a pattern matches but that are left out, since they are empty or
                constant.
        """
        if self.is_settled:
            return self
        found: dict[str, TableColumn] = {}
        left_out: list[str] = []
        for name in self.columns:
            names = expand(name, columns)
            if names != [name]:
                left_out += [each for each in names if is_empty(columns[each])]
                names = [each for each in names if each not in self.columns and not is_empty(columns[each])]
            for each in names:
                try:
                    found.setdefault(each, complete(self.types.get(name), columns[each]))
                except DataError as error:
                    raise DataError(f"the column {each!r} {error}") from error
        if left_out:
            warnings.warn(
                f"{len(left_out)} columns are empty or constant, and left out: {listing(left_out, most=5)}",
                MultimodalVAEWarning,
                stacklevel=2,
            )
        if not found:
            raise DataError(f"no column of {listing(self.columns)} is left; name other columns")
        return Table(columns=found, hidden=self.hidden)

    @cached_property
    def layout(self) -> TableLayout:
        """The types of the columns, for the networks.

        Raises:
            ConfigurationError: if a type is not known yet.
        """
        if not self.is_settled:
            raise ConfigurationError(
                f"{self.name!r}: the types of {listing(self.columns, most=3)} are not known; give columns as a mapping "
                "of names to types (with the words of columns of words), or read the data from a manifest"
            )
        columns = self.types.values()
        return TableLayout(
            [column.type for column in columns],
            [len(column.words or ()) for column in columns],
            [column.decimals for column in columns],
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of columns,)."""
        return (len(self.layout.types),)

    def encoder(self) -> nn.Module:
        """Return scales, a bound of outliers, mean and indicator of missing entries, and linear map plus perceptron."""
        first = TableInput(self.layout)
        return nn.Sequential(
            first,
            nn.Hardtanh(-BOUND, BOUND),
            MeanAndIndicator(DROPOUT),
            LinearAndMLP([2 * first.size, *[self.hidden] * 3]),
        )

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a linear map plus perceptron, to the parameters of each column's distribution."""
        last = TableOutput(self.layout)
        return nn.Sequential(LinearAndMLP([latent_dim, *[self.hidden] * 2, last.size]), last)

    def likelihood(self, decoded: Tensor) -> TableDistribution:
        """Return the distribution of each column, given the latent."""
        return TableDistribution(decoded, self.layout)

    def observe(self, decoded: Tensor) -> Tensor:
        """Return the most probable values on each column's scale, of its own type."""
        return self.likelihood(decoded).mode

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read the cells of all columns, one CSV row."""
        cells = split_csv_row(str(cell))
        if len(cells) != len(self.columns):
            raise DataError(f"has {len(cells)} cells, but the table has {len(self.columns)} columns")
        values = np.empty(len(cells), np.float32)
        for index, (name, column, text) in enumerate(zip(self.columns, self._settled(), cells, strict=True)):
            try:
                values[index] = column.read(text)
            except DataError as error:
                raise DataError(f"has in column {name!r} {error}") from error
        if holds_code(values):
            self.notes["numbers that may be codes of missing measurements, such as -999"] += 1
        return values

    def _settled(self) -> Sequence[TableColumn]:
        """Return the columns, whose types must be known."""
        return list(self.types.values()) if self.layout.types else []

    def format(self, sample: Tensor) -> str:
        """Return the cells of all columns, one CSV row; missing entries are empty."""
        return csv_row([column.write(value) for column, value in zip(self._settled(), sample.tolist(), strict=True)])

    def check(self, samples: Tensor) -> None:
        """Check shape and that each column can hold its values; missing ones are NaN."""
        super().check(samples)
        for index, (name, column) in enumerate(zip(self.columns, self._settled(), strict=True)):
            fault = column.fault(samples[:, index].cpu().numpy())
            if fault:
                raise DataError(f"has in column {name!r} {fault}")

    def features(self, samples: Tensor, reference: Tensor | None = None) -> Tensor:
        """Return standardized values, one per word of a categorical column; 0 for missing entries."""
        scale = TableInput(self.layout)
        scale.measure(samples if reference is None else reference)
        compared: Tensor = scale(samples)
        return compared.nan_to_num(0.0)

    def examples(self, count: int) -> Tensor:
        """Return random valid samples; none is missing."""
        values = torch.empty(count, len(self.columns))
        for index, column in enumerate(self._settled()):
            number = torch.randn(count)
            if column.type in WORDED:
                number = torch.randint(len(column.words or ()), (count,)).float()
            elif column.type != "real":
                number = {"positive": number.exp(), "share": number.sigmoid(), "count": (9 * number.exp()).floor()}[
                    column.type
                ]
            values[:, index] = number if column.decimals is None else number.round(decimals=column.decimals)
        return values

    def against(self, cohort: Tensor) -> "Table":
        """Return the table that plots samples as points over the ranges of a cohort (N, C)."""
        table = self.clone()
        table._cohort = cohort
        return table

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot one point per column, named with its value and unit, over the range of the cohort of :meth:`against`.

        The axis is in standard deviations of the cohort, on each column's scale: a thin line from the 5 % to the 95 %
        quantile, a thick one over the middle half. Of many columns, those farthest from the median are shown. Without a
        cohort the axis has the values themselves. Missing entries have no point.
        """
        columns = zip(self.columns, self._settled(), sample.tolist(), strict=True)
        names = [f"{name} {column.describe(value)}" for name, column, value in columns]
        shown, places = list(range(len(names))), sample
        if self._cohort is not None:
            scaled = self.layout.on_scales(torch.cat([sample[None], self._cohort]))
            mean, deviation = moments(scaled[1:], [0])
            standard = (scaled - mean) / deviation
            ranges = standard[1:].nanquantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), 0)
            places = standard[0]
            unusual = (places - ranges[2]).abs().nan_to_num(-1.0).argsort(descending=True)[:_SHOWN]
            shown = sorted(unusual.tolist())
            rows = range(len(shown))
            low, lower, median, upper, high = ranges[:, shown].numpy()
            ax.hlines(rows, low, high, colors="0.75", linewidth=1.5)
            ax.hlines(rows, lower, upper, colors="0.75", linewidth=4)
            ax.scatter(median, rows, s=14, c="white", edgecolors="0.5", linewidths=0.8, zorder=2.5)
            ax.set_xlabel("deviations from the cohort mean")
        else:
            shown = shown[:_SHOWN]
            ax.set_xscale("symlog")
        ax.scatter(places[shown].numpy(), range(len(shown)), s=14, c="C0", zorder=3)
        ax.set_yticks(range(len(shown)), [names[column] for column in shown], parse_math=False)
        ax.set_ylim(len(shown) - 0.5, -0.5)

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the median and the range of each column of numbers, and the share of each word.

        Shares are those of known entries. Of a column of two words, the second is shown.
        """
        columns = list(zip(self.columns, self._settled(), strict=True))
        numbers = [index for index, (_, column) in enumerate(columns) if column.type not in WORDED]
        words = [
            (index, word, f"{name} = {text}")
            for index, (name, column) in enumerate(columns)
            for word, text in enumerate(column.words or ())
            if word or column.type != "binary"
        ]
        labels = [f"{name} ({column.unit})" if column.unit else name for name, column in columns]
        return draw_ranges(
            Numbers(
                [labels[index] for index in numbers],
                {name: x[:, numbers] for name, x in sets.items()},
                {name: self.layout.on_scales(x)[:, numbers] for name, x in sets.items()},
            ),
            Words(
                [text for _, _, text in words],
                {name: torch.stack([_share(x[:, index], word) for index, word, _ in words]) for name, x in sets.items()}
                if words
                else {},
            ),
        )


def _share(values: Tensor, word: int) -> Tensor:
    """Return the share of a word among the known values of a column, (); NaN if none is known."""
    return torch.where(values.isnan(), torch.nan, (values == word).float()).nanmean()


def expand(name: str, columns: Sequence[str] | Mapping[str, Sequence[str]]) -> list[str]:
    """Return the columns that a name or pattern means, in the order of the columns.

    Raises:
        DataError: if there is none.

    Example:
        >>> expand("mbx_*", ["age", "mbx_b", "mbx_a"])
        ['mbx_b', 'mbx_a']
    """
    if name in columns:
        return [name]
    found = [each for each in columns if fnmatchcase(each, name)]
    if not found:
        what = "matches the pattern" if set(name) & {*_PATTERN} else "is called"
        raise DataError(f"no column {what} {name!r}; {did_you_mean(name, columns)}")
    return found
