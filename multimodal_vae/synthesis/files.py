"""Generated samples as files: a folder that is itself a data set, and says of itself that it is synthetic.

The work is cut into chunks of samples that are decoded at once: the unit of sharing it among processes, and of going on
after one was killed. A chunk is done when its rows of the manifest are there, which are written when its files are.
What a file is called depends on its sample alone.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from multimodal_vae import distributed
from multimodal_vae.errors import RunError, SamplerError
from multimodal_vae.files import digest, read_json, require_vacant, write_bytes, write_json
from multimodal_vae.modalities.base import Modality
from multimodal_vae.synthesis.drawing import require_in_range
from multimodal_vae.synthesis.folder import (
    LONGEST,
    NOTICE,
    TABLE,
    as_table,
    distinct,
    folders,
    notice_column,
    write_cell,
    write_provenance,
)
from multimodal_vae.synthesis.synthesizer import Synthesizer


def write_samples(
    out: Path,
    synthesizer: Synthesizer,
    counts: Mapping[str, int],
    seed: int,
    origin: Mapping[str, Any],
    temperature: float = 1.0,
    min_quantile: float = 0.0,
) -> None:
    """Generate samples and write ``manifest.csv``, ``provenance.json`` and a folder of files a modality.

    Memory does not grow with the counts, but for the latents of one class. The folder appears when it is whole. Until
    then it is a hidden one beside its place, from which the same call goes on if it was stopped, and to which every
    process within :func:`multimodal_vae.distributed.join_processes` adds its share.

    Args:
        out: a place that is empty or does not exist.
        synthesizer: fitted.
        counts: how many of each class.
        seed: class number *i* is drawn with ``seed + i``, so that a class's samples do not depend on the others.
        origin: where the model came from, for ``provenance.json``.
        temperature: of :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.latents`.
        min_quantile: of the same.

    Raises:
        ConfigurationError: if the temperature or the quantile is out of range.
        RunError: if the place is taken or cannot be written, or another generation into it was begun.
        SamplerError: if there is no such class, or no class at all.
    """
    require_in_range(temperature, min_quantile)
    if not counts:
        raise SamplerError("the model knows no class, so there is none to draw new samples of")
    for label in counts:
        synthesizer.density(label)  # refuses what there is none of, before anything is written
    request = {
        "notice": NOTICE,
        **origin,
        "sampler": synthesizer.sampler.configuration,
        "densities_fitted_on": synthesizer.fitted_on,
        "counts": dict(counts),
        "seed": seed,
        "temperature": float(temperature),
        "min_quantile": float(min_quantile),
    }
    require_vacant(out)
    partial = _Partial(out.with_name(f".{out.name}.partial"))
    wanted = {**request, "at_once": _AT_ONCE, "weights": _weights(synthesizer)}
    partial.require(wanted)
    distributed.wait()
    chunks = _chunks(counts)
    try:
        if distributed.rank() == 0:
            partial.begin(wanted, folders(synthesizer.vae.modalities).values())
        distributed.wait()
        _fill(partial, synthesizer, request, chunks)
        distributed.wait()
        if distributed.rank() == 0:
            _finish(partial, synthesizer, len(chunks), request)
            partial.become(out)
    except OSError as error:
        raise RunError(
            f"{error.filename or out} cannot be written: {error.strerror or error}; the same call goes on from what "
            f"is done, in {partial.folder}"
        ) from error
    distributed.wait()


_AT_ONCE = 256


class _Chunk(NamedTuple):
    """Samples of one class that are decoded at once: from which on, and of how many of the class in all."""

    number: int
    label: str
    first: int
    total: int


def _chunks(counts: Mapping[str, int]) -> list[_Chunk]:
    places = [(label, first, count) for label, count in counts.items() for first in range(0, count, _AT_ONCE)]
    return [_Chunk(number, *place) for number, place in enumerate(places)]


class _Partial:
    """A folder in the making, within another that also holds what was asked for, and the rows of finished chunks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result = folder / "result"
        self._parts = folder / "parts"
        self._request = folder / "request.json"

    def require(self, request: Mapping[str, Any]) -> None:
        """Refuse what another request left.

        Raises:
            RunError: naming what is different.
        """
        if not self._request.exists():
            return
        before, now = read_json(self._request, dict[str, Any]), json.loads(json.dumps(request))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            raise RunError(
                f"{self.folder} holds a generation that was begun with another {changed[0]!r}; put it back to go on, "
                "or remove that folder"
            )

    def begin(self, request: Mapping[str, Any], folders: Iterable[str]) -> None:
        """Make the folders, or go on with those that the same request left."""
        if self.folder.exists() and not (self._request.exists() and self.result.exists()):
            shutil.rmtree(self.folder)  # it was killed as it began, or when all was done
        for folder in (self._parts, self.result, *(self.result / name for name in folders)):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(self._request, request)

    def part(self, number: int) -> Path:
        """The rows of the manifest that a chunk gave, once it is done."""
        return self._parts / f"{number}.csv"

    def become(self, out: Path) -> None:
        """Take the place that was meant, and leave nothing else."""
        if out.exists():
            out.rmdir()
        self.result.rename(out)
        shutil.rmtree(self.folder)


def _fill(partial: _Partial, synthesizer: Synthesizer, request: Mapping[str, Any], chunks: Sequence[_Chunk]) -> None:
    """Do this process's share of the chunks, but for those that are done."""
    vae = synthesizer.vae
    stems = distinct(vae.classes, LONGEST)
    label, latents = None, None
    for chunk in chunks[distributed.rank() % distributed.world_size() :: distributed.world_size()]:
        if partial.part(chunk.number).exists():
            continue
        if latents is None or label != chunk.label:
            label = chunk.label
            seed = request["seed"] + vae.classes.index(label)
            latents = synthesizer.latents(label, chunk.total, seed, request["temperature"], request["min_quantile"])
        samples = vae.generate(latents[chunk.first : chunk.first + _AT_ONCE])
        rows = _rows(partial.result, vae.modalities, samples, chunk, stems[label])
        write_bytes(partial.part(chunk.number), as_table(rows))


def _rows(
    folder: Path, modalities: Mapping[str, Modality], samples: Mapping[str, Tensor], chunk: _Chunk, stem: str
) -> Iterator[list[str]]:
    """Write the files of a chunk; give its rows of the manifest."""
    places = folders(modalities)
    for row in range(min(_AT_ONCE, chunk.total - chunk.first)):
        number = f"{chunk.first + row + 1:0{len(str(chunk.total))}d}"
        cells = [
            write_cell(folder, modality, places.get(name, ""), f"{stem}-{number}", samples[name][row])
            for name, modality in modalities.items()
        ]
        yield [f"{chunk.label}-{number}", chunk.label, *cells, NOTICE]


def _finish(partial: _Partial, synthesizer: Synthesizer, chunks: int, request: Mapping[str, Any]) -> None:
    """Put the manifest together and say where all of it came from."""
    modalities = synthesizer.vae.modalities
    header = ["sample_id", "label", *modalities]
    with open(partial.result / TABLE, "wb") as manifest:
        manifest.write(as_table([[*header, notice_column(header)]]))
        for number in range(chunks):
            manifest.write(partial.part(number).read_bytes())
    write_provenance(partial.result, request)


def _weights(synthesizer: Synthesizer) -> str:
    """A hash of all that decides what is generated, besides the request."""
    return digest(
        {**{f"model.{name}": x for name, x in synthesizer.vae.state_dict().items()}, **synthesizer.state()}, {}
    )
