"""Samples in Parquet files, one per row; needs the extra ``parquet`` (polars)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean, one_line

_ROWS = 1024
"""Rows that are in memory at once, beside the row group that they are in."""


def parquet_samples(path: Path, fields: Iterable[str], optional: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the cells of each row of a Parquet file by column; None if missing.

    Args:
        path: the file.
        fields: columns that must be there.
        optional: columns that may be there.

    Raises:
        DataError: naming the file, if it is damaged or lacks a column.
        ConfigurationError: if polars is not installed.
    """
    try:
        import polars
    except ImportError as error:
        raise ConfigurationError("Parquet files need polars: pip install 'multimodal-vae[parquet]'") from error
    try:
        if not path.is_file():
            raise DataError(f"there is no shard {path}")
        frame = polars.scan_parquet(path, glob=False)
        columns = frame.collect_schema()
        for field in fields:
            if field not in columns:
                raise DataError(f"{path} has no column {field!r}; {did_you_mean(field, columns)}")
        wanted = [*fields, *(each for each in optional if each in columns)]
        for block in frame.select(wanted).collect_batches(chunk_size=_ROWS, maintain_order=True):
            # Arrays of fixed size stay arrays; lists of them would take seconds.
            cells = [
                series.to_numpy() if isinstance(series.dtype, polars.Array) else series.to_list() for series in block
            ]
            for row in zip(*cells, strict=True):
                yield dict(zip(wanted, row, strict=True))
    except polars.exceptions.PolarsError as error:
        raise DataError(f"{path} is damaged or no Parquet file ({one_line(error)}); copy it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error
