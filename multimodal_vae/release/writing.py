"""The release of a run: samples are generated, audited as a recipient reads them, and only then put into place."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multimodal_vae.checks import checked
from multimodal_vae.errors import MultimodalVAEError, RunError
from multimodal_vae.files import claimed, move_into_place, read_json
from multimodal_vae.privacy.run_audit import audit_run
from multimodal_vae.release.conditions import THRESHOLD, require_no_copies, require_private, require_threshold
from multimodal_vae.release.datasheet import describe
from multimodal_vae.release.sums import write_sums
from multimodal_vae.release.verification import verify_release
from multimodal_vae.run import Run
from multimodal_vae.synthesis.generation import weights_digest, write_samples
from multimodal_vae.synthesis.marks import PROVENANCE
from multimodal_vae.synthesis.synthesizer import Synthesizer


@checked
def release_run(
    run: Run,
    out: Path,
    count: int = 100,
    sampler: Any = None,
    seed: int = 0,
    holdout: Path | None = None,
    threshold: float = THRESHOLD,
    refine: bool = True,
) -> str:
    """Generate samples, audit them, and write the folder to hand on: samples, datasheet and checksums.

    The folder holds nothing of the model, its densities or a patient. Until the audit is passed, the samples are in the
    hidden folder ``.NAME.partial`` beside it. After an interruption, the same call resumes. If the release is refused,
    nothing of it remains but ``privacy.json`` in the run.

    Args:
        run: an opened run.
        out: folder to create; it must be empty or not exist.
        count: number of samples per class.
        sampler: an instance, a name or a table. Default: the run's.
        seed: seed of the samples and of the audit. It is not released: with the model, it gives the latents.
        holdout: manifest of unseen patients, as for :func:`~multimodal_vae.privacy.run_audit.audit_run`.
        threshold: largest upper end of the interval of the strongest attack's area under the curve, above 0.5 and at
            most 1. Attacks on the model's own outputs do not count, since the model is not released.
        refine: whether to refine the samples, if the run has refiners.

    Returns:
        The digest of the folder, to publish where recipients trust it.

    Raises:
        ConfigurationError: if the threshold is out of range.
        RunError: if an attack exceeds the threshold, a sample is a copy of a patient's, or the folder exists.
    """
    require_threshold(threshold)
    with claimed(out) as partial:
        synthesizer = run.synthesizer(sampler, refine=refine)
        folder = partial / "samples"
        _generate(folder, run, synthesizer, dict.fromkeys(synthesizer.densities, count), seed)
        try:
            require_no_copies(run, folder)
            audit, path = audit_run(run, holdout=holdout, seed=seed, samples=folder)
            require_private(audit, threshold, path)
            describe(folder, run, synthesizer, audit, threshold)
            digest = write_sums(folder)
            verify_release(folder, digest)
            move_into_place(folder, out)
        except MultimodalVAEError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return digest


def _generate(folder: Path, run: Run, synthesizer: Synthesizer, counts: Mapping[str, int], seed: int) -> None:
    """Generate samples into a folder, or keep those that the same call generated before it was interrupted."""
    origin = {**run.origin, "weights": weights_digest(synthesizer)}
    if not folder.exists():
        write_samples(folder, synthesizer, counts, seed, origin)
        return
    request = {**origin, "sampler": synthesizer.sampler.configuration, "counts": counts, "seed": seed}
    before = read_json(folder / PROVENANCE, dict[str, Any])
    changed = [key for key, value in json.loads(json.dumps(request)).items() if before.get(key) != value]
    if changed:
        raise RunError(
            f"{folder} holds samples of an unfinished release with another {changed[0]!r}; restore it to resume, or "
            "remove that folder"
        )
