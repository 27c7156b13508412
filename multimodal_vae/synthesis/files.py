"""Generated samples as files: a folder that is itself a data set, and says of itself that it is synthetic."""

import csv
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from multimodal_vae.files import new_folder, write_json
from multimodal_vae.modalities.base import Modality
from multimodal_vae.synthesis.synthesizer import Synthesizer

NOTICE = "synthetic, not for diagnosis"


def write_samples(
    out: Path, synthesizer: Synthesizer, counts: Mapping[str, int], seed: int, origin: Mapping[str, Any]
) -> None:
    """Generate samples and write ``manifest.csv``, ``provenance.json`` and a folder of files a modality.

    Memory does not grow with the counts. The folder appears when it is whole.

    Args:
        out: a place that is empty or does not exist.
        synthesizer: fitted.
        counts: how many of each class.
        seed: class number *i* is drawn with ``seed + i``, so that a class's samples do not depend on the others.
        origin: where the model came from, for ``provenance.json``.

    Raises:
        RunError: if the place is taken or cannot be written.
        SamplerError: if there is no such class.
    """
    modalities = synthesizer.vae.modalities
    for label in counts:
        synthesizer.density(label)  # refuses what there is none of, before anything is written
    with new_folder(out) as folder, open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as manifest:
        rows = csv.writer(manifest)
        notice = "origin" if "origin" not in modalities else "origin_of_sample"
        rows.writerow(["sample_id", "label", *modalities, notice])
        for label, count in counts.items():
            latents = synthesizer.latents(label, count, seed + synthesizer.vae.classes.index(label))
            digits = len(str(count))
            ids = [f"{label}-{number:0{digits}d}" for number in range(1, count + 1)]
            for first in range(0, count, _AT_ONCE):
                samples = synthesizer.vae.generate(latents[first : first + _AT_ONCE])
                for row, sample_id in enumerate(ids[first : first + _AT_ONCE]):
                    cells = [
                        _cell(folder, name, part, samples[name][row], sample_id) for name, part in modalities.items()
                    ]
                    rows.writerow([sample_id, label, *cells, NOTICE])
        write_json(
            folder / "provenance.json",
            {
                "notice": NOTICE,
                **origin,
                "sampler": synthesizer.sampler.configuration,
                "densities_fitted_on": synthesizer.fitted_on,
                "counts": dict(counts),
                "seed": seed,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
        )


_AT_ONCE = 256


def _cell(folder: Path, name: str, modality: Modality, sample: Tensor, sample_id: str) -> str:
    if modality.cell == "value":
        return modality.format(sample)
    path = Path(_safe(name)) / f"{_safe(sample_id)}{modality.suffix}"
    while (folder / path).exists():  # two names may be the same once made safe
        path = path.with_stem(path.stem + "_")
    (folder / path).parent.mkdir(exist_ok=True)
    modality.write(sample, folder / path)
    return path.as_posix()


def _safe(name: str) -> str:
    """A file name from free text, since classes and modalities may be called anything.

    Of a long name the end is kept, where a sample's number stands; 60 letters fit a file system's 255 bytes.
    """
    plain = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name)
    return plain[-60:].strip(". ") or "_"
