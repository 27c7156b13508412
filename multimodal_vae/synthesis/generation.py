"""Generated samples as files: a folder that is a data set and marks itself as synthetic.

The work is divided into chunks, which processes share and a resumed call skips once they are done. A chunk is done when
its rows of the manifest are written, after its files. A file's name depends only on its sample.
"""

import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multimodal_vae import distributed
from multimodal_vae.bounds import require_disk, require_memory, require_seed
from multimodal_vae.checks import checked, require_whole
from multimodal_vae.data.covariates import texts_of
from multimodal_vae.errors import RunError, SamplerError
from multimodal_vae.files import (
    RESULT,
    claimed,
    csv_text,
    digest,
    move_into_place,
    read_json,
    remove_leftovers,
    write_bytes,
    write_json,
)
from multimodal_vae.modalities.base import Modality, Noise
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.progress import track
from multimodal_vae.synthesis.drawing import require_in_range
from multimodal_vae.synthesis.folder import (
    CHUNK_SIZE,
    LONGEST,
    cells_of,
    columns_of,
    modality_folders,
    notice_column,
    unique_file_names,
    write_cell,
    write_provenance,
)
from multimodal_vae.synthesis.marks import NOTICE, TABLE
from multimodal_vae.synthesis.refinement import REFINED
from multimodal_vae.synthesis.synthesizer import Synthesizer


@checked
def write_samples(
    out: Path,
    synthesizer: Synthesizer,
    counts: Mapping[str, int],
    seed: int,
    origin: Mapping[str, Any],
    temperature: float = 1.0,
    min_quantile: float = 0.0,
    noise: Noise | None = None,
    covariates: Mapping[str, Any] | None = None,
    refine: bool = True,
) -> None:
    """Generate samples and write ``manifest.csv``, ``provenance.json`` and one folder of files per modality.

    Memory does not grow with the counts, except for the latents of one class. The samples are first written to the
    hidden folder ``.NAME.partial`` beside ``out``; after an interruption, the same call resumes from it. Another call
    for the same ``out`` is refused meanwhile. Processes within :func:`multimodal_vae.distributed.join_processes`
    share the work.

    Args:
        out: folder to create; it must be empty or not exist.
        synthesizer: fitted synthesizer.
        counts: number of samples by class, at least 1 each.
        seed: class number *i* is drawn with ``seed + i``, so that its samples do not depend on the other classes; they
            are those of :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.sample` with this seed.
        origin: where the model came from, for ``provenance.json``.
        temperature: as in :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.latents`.
        min_quantile: as in the same method.
        noise: ``"draw"``, samples with their observation noise, or ``"mean"``, expected samples. Default: as each
            modality says; expected samples without a likelihood. ``provenance.json`` says which each modality got.
        covariates: values to fix by name, as for
            :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.draw_covariates`. The manifest has a column of each
            covariate.
        refine: whether to refine the modalities that have a refiner. ``provenance.json`` says which were refined, and
            by what.

    Raises:
        ConfigurationError: if the seed, the temperature or the quantile is out of range, or memory or disk cannot hold
            so many samples.
        RunError: if the folder exists or cannot be written, or another generation into it has begun or runs now.
        SamplerError: if a class is unknown, or there is none.
        DataError: if a covariate or its value is unknown.
    """
    require_in_range(temperature, min_quantile)
    if not counts:
        raise SamplerError("the model has no classes, so there is nothing to generate")
    for label, count in counts.items():
        require_whole(f"the number of samples of class {label!r}", count, 1)
        synthesizer.density(label)  # raises for an unknown class before anything is written
        synthesizer.draw_covariates(label, 1, seed, covariates)
    counts = {synthesizer.class_of(label): count for label, count in counts.items()}
    refiners = synthesizer.refiners if refine else {}
    provenance = {
        "notice": NOTICE,
        **origin,
        "sampler": synthesizer.sampler.configuration,
        "chosen": synthesizer.chosen.configuration if synthesizer.chosen else None,
        "ranking": synthesizer.ranking,
        "guarantee": synthesizer.guarantee.record() if synthesizer.guarantee else None,
        "densities_fitted_on": synthesizer.fitted_on,
        "counts": dict(counts),
        "seed": seed,
        "temperature": float(temperature),
        "min_quantile": float(min_quantile),
        "noise": noise,
        "noise_by_modality": synthesizer.vae.noise_of(noise) | dict.fromkeys(refiners, REFINED),
        **({"refiners": {name: refiner.configuration for name, refiner in refiners.items()}} if refiners else {}),
        **({"covariates": dict(covariates or {})} if synthesizer.vae.covariates else {}),
    }
    require_seed(seed)
    request = {**provenance, "at_once": CHUNK_SIZE, "weights": weights_digest(synthesizer)}
    with claimed(out) as hidden:
        partial = _PartialFolder(hidden)
        partial.require_same(request)
        if not partial.is_begun:
            _require_space(out, synthesizer.vae, counts)
        chunks = _chunks(counts)
        distributed.wait()
        try:
            if distributed.rank() == 0:
                partial.begin(request, modality_folders(synthesizer.vae.modalities).values())
            distributed.wait()
            _write_chunks(partial, synthesizer, provenance, chunks)
            distributed.wait()
            if distributed.rank() == 0:
                _write_manifest(partial, synthesizer, len(chunks), provenance)
                partial.move_to(out)
        except OSError as error:
            raise RunError(
                f"{error.filename or out} cannot be written: {error.strerror or error}; rerun the same command or call "
                f"to resume from {partial.folder}"
            ) from error
        distributed.wait()


def _require_space(out: Path, vae: MultimodalVAE, counts: Mapping[str, int]) -> None:
    """Check that the latents of a class fit into memory, and that the files fit on the disk."""
    most, total = max(counts.values()), sum(counts.values())
    require_memory(4 * vae.latent_dim * most, f"{most} samples of a class are too many")
    cells = sum(_FILE if each.cell == "path" else 2 * each.elements for each in vae.modalities.values())
    require_disk((len(NOTICE) + cells) * total, out, f"{total} samples are too many")


_FILE = 512  # bytes that the smallest file takes on a disk, cautiously


class _Chunk(NamedTuple):
    """Samples of one class that are decoded at once."""

    number: int
    label: str
    start: int
    """Number of the first sample within the class."""
    total: int
    """Number of samples of the class in all chunks."""


def _chunks(counts: Mapping[str, int]) -> list[_Chunk]:
    places = [(label, start, count) for label, count in counts.items() for start in range(0, count, CHUNK_SIZE)]
    return [_Chunk(number, *place) for number, place in enumerate(places)]


class _PartialFolder:
    """An unfinished folder, inside a hidden one that also holds the request and the manifest rows of done chunks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result = folder / RESULT
        self._chunks = folder / "parts"
        self._request = folder / "request.json"

    @property
    def is_begun(self) -> bool:
        """Whether there is something to resume."""
        return self._request.exists() and self.result.exists()

    def require_same(self, request: Mapping[str, Any]) -> None:
        """Refuse to resume another request.

        Raises:
            RunError: naming the difference.
        """
        if not self._request.exists():
            return
        before, now = read_json(self._request, dict[str, Any]), json.loads(json.dumps(request))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            raise RunError(
                f"{self.folder} holds an unfinished generation with another {changed[0]!r}; restore it to resume, or "
                "remove that folder"
            )

    def begin(self, request: Mapping[str, Any], subfolders: Iterable[str]) -> None:
        """Create the folders, or keep those of the same request."""
        if not self.is_begun:
            self._remove()  # a process was killed right at the beginning or the end
        self._require_plain_files()
        for folder in (self._chunks, self.result, *(self.result / name for name in subfolders)):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(self._request, request)

    def chunk_rows(self, number: int) -> Path:
        """Return the path of a chunk's manifest rows; the file exists once the chunk is done."""
        return self._chunks / f"{number}.csv"

    def move_to(self, out: Path) -> None:
        """Move the finished folder to its place, and remove what else was in the hidden one."""
        move_into_place(self.result, out)
        self._remove()

    def _require_plain_files(self) -> None:
        """Refuse to write through links that somebody has put into the folder."""
        for root, folders, files in os.walk(self.folder):
            for path in (Path(root, name) for name in (*folders, *files)):
                facts = path.lstat()
                if not stat.S_ISDIR(facts.st_mode) and not (stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1):
                    raise RunError(f"{path} is a link or no file, which generation does not leave; remove it")

    def _remove(self) -> None:
        for folder in (self.result, self._chunks):
            if folder.exists():
                shutil.rmtree(folder)
        self._request.unlink(missing_ok=True)
        remove_leftovers(self.folder, self._request.name)  # of a process that was killed while it wrote the request


def _write_chunks(
    partial: _PartialFolder, synthesizer: Synthesizer, settings: Mapping[str, Any], chunks: Sequence[_Chunk]
) -> None:
    """Write this process's share of the chunks that are not done."""
    vae = synthesizer.vae
    stems = unique_file_names(vae.classes, LONGEST)
    label, latents, known = None, None, torch.zeros(0, 0)
    for chunk in track(chunks[distributed.rank() % distributed.world_size() :: distributed.world_size()], "generating"):
        if partial.chunk_rows(chunk.number).exists():
            continue
        seed = settings["seed"] + vae.classes.index(chunk.label)
        if latents is None or label != chunk.label:
            label = chunk.label
            latents = synthesizer.latents(label, chunk.total, seed, settings["temperature"], settings["min_quantile"])
            known = synthesizer.draw_covariates(label, chunk.total, seed, settings.get("covariates"))
        part, given = (x[chunk.start : chunk.start + CHUNK_SIZE] for x in (latents, known))
        samples = synthesizer.decode(
            part, label, settings["noise"], seed, chunk.start, given, refine="refiners" in settings
        )
        texts = texts_of(vae.covariates, given)
        rows = _write_files(partial.result, vae.modalities, samples, texts, chunk, stems[label])
        write_bytes(partial.chunk_rows(chunk.number), csv_text(rows).encode())


def _write_files(
    folder: Path,
    modalities: Mapping[str, Modality],
    samples: Mapping[str, Tensor],
    covariates: Sequence[Mapping[str, str]],
    chunk: _Chunk,
    stem: str,
) -> Iterator[list[str]]:
    """Write the files of a chunk, and yield its manifest rows."""
    subfolders = modality_folders(modalities)
    for row in range(min(CHUNK_SIZE, chunk.total - chunk.start)):
        number = f"{chunk.start + row + 1:0{len(str(chunk.total))}d}"
        cells = [
            cell
            for name, modality in modalities.items()
            for cell in cells_of(
                modality, write_cell(folder, modality, subfolders.get(name, ""), f"{stem}-{number}", samples[name][row])
            )
        ]
        yield [f"{chunk.label}-{number}", chunk.label, *covariates[row].values(), *cells, NOTICE]


def _write_manifest(
    partial: _PartialFolder, synthesizer: Synthesizer, chunks: int, provenance: Mapping[str, Any]
) -> None:
    """Concatenate the rows of all chunks into the manifest, and write ``provenance.json``."""
    covariates = [each.name for each in synthesizer.vae.covariates]
    header = ["sample_id", "label", *covariates, *columns_of(synthesizer.vae.modalities)]
    with open(partial.result / TABLE, "wb") as manifest:
        manifest.write(csv_text([[*header, notice_column(header)]]).encode())
        for number in range(chunks):
            manifest.write(partial.chunk_rows(number).read_bytes())
    write_provenance(partial.result, provenance)


def weights_digest(synthesizer: Synthesizer) -> str:
    """Return a hash of the weights of model and refiners, and of the densities."""
    parts = {"model": synthesizer.vae, **{f"refiner.{name}": each for name, each in synthesizer.refiners.items()}}
    weights = {f"{part}.{name}": x for part, module in parts.items() for name, x in module.state_dict().items()}
    return digest(weights | synthesizer.state(), {})
