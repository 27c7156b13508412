"""WFDB records, the format of PhysioNet: a header, its signal files, and perhaps the headers of segments.

The package ``wfdb`` decodes the signals. This module reads what ``wfdb`` does not return: whether the header states a
gain and a sampling rate, non-ASCII units, the true rate of signals with several samples per frame, and the units of
each segment. Source: header(5) of the WFDB Applications Guide.
"""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from multimodal_vae import DataError
from multimodal_vae.errors import one_line
from multimodal_vae.modalities.recordings import Real, Record
from multimodal_vae_ecg.leads import choose_leads, in_millivolts

MOST_BYTES = 1 << 24
"""Size of a header above which it is refused."""

LONGEST_LINE = 1000
"""Characters of a line of a header above which it is refused; the format allows 255."""

_RATE = re.compile(r"(\d+\.?\d*|\.\d+)(/\S*)?")
_GAIN = re.compile(r"(?P<gain>-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)?(\(-?\d+\))?(/(?P<unit>.*))?", re.IGNORECASE)

EMPTY = "~"
"""Name of a segment or a file without samples."""


MOST_SIGNALS = 1000
"""Signals of a record above which it is refused."""

_BEYOND = re.compile(r"\d{13}|:\d{6}")
"""A length, or a skew between signals, for which ``wfdb`` takes memory."""


class _Header(NamedTuple):
    """A header, its ending in upper or lower case.

    Attributes:
        path: of the header.
        record: fields of the record line: name, number of signals, and perhaps frames per second and frames.
        lines: fields of the other lines: of a signal each, or of a segment each.
    """

    path: Path
    record: list[str]
    lines: list[list[str]]

    @property
    def segmented(self) -> bool:
        return "/" in self.record[0]


def open_wfdb(path: Path, wanted: int | Sequence[str]) -> Record:
    """Open a record.

    Args:
        path: of the header, with or without its ending.
        wanted: as :func:`~multimodal_vae_ecg.records.open_record` has it.

    Raises:
        DataError: if it is damaged, or does not have the wanted leads in a unit of voltage.
        FileNotFoundError: if there is no header.
    """
    header = _read_header(path)
    if not header.segmented:
        record = _Signals(header)
        return record.open(choose_leads(record.names, wanted))
    return _open_segments(header, wanted)


def wfdb_files(path: Path) -> list[Path]:
    """Return the files of a record: its header, and the signal files and headers that it names.

    Raises:
        FileNotFoundError: if there is no header.
    """
    files = [_find_header(path)]
    for file in files:  # grows with each header
        if file.suffix.lower() == ".hea":
            names = dict.fromkeys(line.split()[0] for line in _lines(file))
            named = [_beside(file, each) for name in names for each in (name, f"{name}.hea")]
            files += [each for each in dict.fromkeys(named) if each is not None and each not in files]
    return files


def import_wfdb() -> Any:
    """Import the package ``wfdb`` without its warnings."""
    with warnings.catch_warnings():
        # wfdb 4.3 calls pandas in a way that pandas 3.1 deprecates, each time it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    return wfdb


def _stated_rate(header: _Header) -> float | None:
    """Return the frames per second that a header states; None if it states none.

    Raises:
        DataError: if they are not a number.
    """
    field = "".join(header.record[2:3])
    match = _RATE.fullmatch(field)
    if field and not match:
        raise DataError(f"states the sampling rate {field!r}, which is not a number of Hz; write it in its header")
    return float(match[1]) if match else None


class _Signals:
    """A record of one segment."""

    def __init__(self, header: _Header) -> None:
        if header.segmented:
            raise DataError(f"has a segment {header.path.stem!r} that is itself divided into segments")
        self.header = header
        self.files = {line[0] for line in header.lines} - {EMPTY}
        missing = [name for name in sorted(self.files) if _beside(header.path, name) is None]
        if missing:
            raise DataError(f"names the file {missing[0]!r}, which is not beside it; copy it there")
        with self._readable() as name, _damage():
            facts = import_wfdb().rdheader(name)
            self.rate = float(facts.fs)
            self.names = [lead or "" for lead in facts.sig_name or []]
            self.per_frame = [int(count) for count in facts.samps_per_frame or []]
            self.frames = int(facts.sig_len or 0)
            if len(self.names) != len(header.lines):
                raise ValueError("signals without names")
            if not self.frames and self.files:
                self.frames = int(import_wfdb().rdrecord(name, channels=[0]).sig_len)

    def open(self, channels: Sequence[int]) -> Record:
        """Return the record of some channels, which have one rate and a unit of voltage."""
        per_frame = self.common_per_frame(channels)
        leads = [self.names[channel] for channel in channels]
        self.scales(channels)
        notes = () if _stated_rate(self.header) else (f"no sampling rate in the file, taken as {self.rate:g} Hz",)
        return Record(
            self.rate * per_frame,
            leads,
            self.frames * per_frame,
            lambda first, last: self.load(channels, first, last),
            notes=notes,
        )

    def common_per_frame(self, channels: Sequence[int]) -> int:
        """Return the samples per frame of some channels, if they are the same."""
        first = channels[0]
        for channel in channels:
            if self.per_frame[channel] != self.per_frame[first]:
                raise DataError(
                    f"has lead {self.names[first]!r} at {self.rate * self.per_frame[first]:g} Hz and "
                    f"{self.names[channel]!r} at {self.rate * self.per_frame[channel]:g} Hz; set 'leads' to those of "
                    "one rate"
                )
        return self.per_frame[first]

    def scales(self, channels: Sequence[int]) -> Real:
        """Return the millivolts per unit of some channels, whose gains must be stated."""
        leads, units = [self.names[channel] for channel in channels], []
        for lead, channel in zip(leads, channels, strict=True):
            field = "".join(self.header.lines[channel][2:3])
            match = _GAIN.fullmatch(field)
            if not match:
                raise DataError(f"states the gain {field!r} of lead {lead!r}, which is not known; write it as '200/mV'")
            if not float(match["gain"] or 0):
                raise DataError(f"has no gain for lead {lead!r}, so it is uncalibrated; write the gain in its header")
            units.append(match["unit"] or None)  # mV by the format's rule
        return in_millivolts(leads, units)

    def load(self, channels: Sequence[int], first: int, last: int) -> Real:
        """Read samples of some channels, in mV."""
        per_frame = self.common_per_frame(channels)
        start, stop = first // per_frame, math.ceil(last / per_frame)
        options: dict[str, Any] = {} if self._length_unknown else {"sampto": stop}
        with self._readable() as name, _damage():
            record = import_wfdb().rdrecord(
                name, sampfrom=start, channels=list(channels), smooth_frames=per_frame == 1, **options
            )
            signal = record.p_signal.T if per_frame == 1 else np.stack(record.e_p_signal)
            signal = signal[:, first - start * per_frame : last - start * per_frame]
        if signal.shape != (len(channels), last - first):
            raise DataError("has signal files that are cut short; copy them again")
        return np.asarray(signal * self.scales(channels), dtype=np.float64)

    @property
    def _length_unknown(self) -> bool:
        return not any(int(length) for length in self.header.record[3:4] if length.isdecimal())

    @contextmanager
    def _readable(self) -> Iterator[str]:
        """Yield the record's name as ``wfdb`` needs it: lower-case endings, and no length of zero."""
        header = self.header
        same = header.path.suffix == ".hea" and all((header.path.parent / name).exists() for name in self.files)
        if same and not (self._length_unknown and len(header.record) > 3):
            # Absolute, since wfdb takes some relative names for addresses in a cloud.
            yield str(header.path.absolute().with_suffix(""))
            return
        with TemporaryDirectory(prefix="multimodal_vae_ecg.") as folder:
            record = header.record[:3] if self._length_unknown else header.record
            text = "\n".join(" ".join(line) for line in (record, *header.lines)) + "\n"
            Path(folder, "record.hea").write_text(text, "utf-8")
            for name in self.files:
                file = _beside(header.path, name)
                if file is not None:
                    Path(folder, name).symlink_to(file.absolute())
            yield str(Path(folder, "record"))


def _open_segments(header: _Header, wanted: int | Sequence[str]) -> Record:
    """Open a record of several segments, each with signals, units and gains of its own."""
    if not all(len(line) > 1 and line[1].isdecimal() for line in header.lines):
        raise DataError("is damaged or no WFDB record (a segment has no length)")
    segments = [(line[0], int(line[1])) for line in header.lines]
    named = next((name for name, _ in segments if name != EMPTY), None)
    if named is None:
        raise DataError("has no segment with signals")
    layout = _Signals(_segment(header, named))  # of all signals; without samples if the segments differ
    if (_stated_rate(header) or layout.rate) != layout.rate:
        raise DataError(
            f"states {header.record[2]} frames a second, but its segments have {layout.rate:g}; correct one"
        )
    channels = choose_leads(layout.names, wanted)
    leads, per_frame = [layout.names[channel] for channel in channels], layout.common_per_frame(channels)

    def load(first: int, last: int) -> Real:
        signal = np.full((len(leads), last - first), np.nan)
        begin = 0
        for name, frames in segments:
            end = begin + frames * per_frame
            low, high = max(first, begin), min(last, end)
            if low < high and name != EMPTY:
                part = _Signals(_segment(header, name))
                rows = [row for row, lead in enumerate(leads) if lead in part.names]
                places = [part.names.index(leads[row]) for row in rows]
                if places and (part.rate, part.common_per_frame(places)) != (layout.rate, per_frame):
                    raise DataError(f"has a segment {name!r} of another sampling rate; cut it into records of one rate")
                if places:
                    signal[rows, low - first : high - first] = part.load(places, low - begin, high - begin)
            begin = end
        return signal

    return Record(layout.rate * per_frame, leads, sum(frames for _, frames in segments) * per_frame, load)


def _segment(header: _Header, name: str) -> _Header:
    path = _beside(header.path, f"{name}.hea")
    if path is None:
        raise DataError(f"names the segment {name!r}, whose header is not beside it; copy it there")
    return _read_header(path)


def _read_header(path: Path) -> _Header:
    path = _find_header(path)
    record, *lines = [line.split() for line in _lines(path)] or [[]]
    if len(record) < 2 or not all(lines):
        raise DataError("is damaged or no WFDB record (its header is empty)")
    if "/" not in record[0] and len(lines) > MOST_SIGNALS:
        raise DataError(f"names {len(lines):,} signals, more than the {MOST_SIGNALS:,} that a record may have")
    lengths = [*record[3:4], *(field for line in lines for field in line[1:2])]
    if any(_BEYOND.search(length) for length in lengths):
        raise DataError("is damaged or no WFDB record (its header states a length beyond that of any record)")
    return _Header(path, record, lines)


def _lines(path: Path) -> list[str]:
    """Return the lines of a header that are not comments."""
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"has a header of more than {MOST_BYTES} bytes, which no record has")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if (longest := max(map(len, lines), default=0)) > LONGEST_LINE:
        raise DataError(f"has a line of {longest} characters in its header, which no record has")
    return lines


def _find_header(path: Path) -> Path:
    endings = dict.fromkeys((path.suffix or ".hea", ".hea", ".HEA"))
    for each in (path.with_suffix(ending) for ending in endings):
        if each.is_file():
            return each
    raise FileNotFoundError(path.with_suffix(".hea"))


def _beside(header: Path, name: str) -> Path | None:
    """Return the file of a name beside a header, whatever its case; None if there is none."""
    if Path(name).name != name:
        return None
    try:
        file = header.parent / name
        if file.is_file():
            return file
        same = [each for each in header.parent.iterdir() if each.name.lower() == name.lower() and each.is_file()]
    except OSError:
        return None
    return same[0] if len(same) == 1 else None


@contextmanager
def _damage() -> Iterator[None]:
    """Turn the errors of ``wfdb`` about a damaged record, which are of many kinds, into one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"is damaged, cut short or no WFDB record ({one_line(error)})") from error
