"""The datasheet of a release, and its ``provenance.json``: what a recipient needs, and nothing about a patient.

Source: Gebru et al., *Datasheets for datasets* (2021).
"""

import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from multimodal_vae.evaluation.result import format_interval, format_number
from multimodal_vae.files import read_json, write_bytes, write_json
from multimodal_vae.privacy.audit import Audit
from multimodal_vae.privacy.verdict import NEED_MODEL, judge_results
from multimodal_vae.release.conditions import strongest_attack
from multimodal_vae.release.verification import DATASHEET
from multimodal_vae.report.card import escaped
from multimodal_vae.run import Run
from multimodal_vae.synthesis.folder import DRAWN, EXPECTED
from multimodal_vae.synthesis.marks import NOTICE, PROVENANCE
from multimodal_vae.synthesis.refinement import REFINED
from multimodal_vae.synthesis.synthesizer import Synthesizer

_VALUES = {"draw": DRAWN, "mean": EXPECTED, REFINED: REFINED}


def describe(folder: Path, run: Run, synthesizer: Synthesizer, audit: Audit, threshold: float) -> None:
    """Replace ``provenance.json`` of generated samples by the part to release, and write the datasheet.

    Of what ``mmvae sample`` wrote, these keys are released: ``notice``, ``counts``, ``noise_by_modality`` (as
    ``values``) and the day. These are not:

    - ``run``, a path of the releaser, and the hash of the weights;
    - the settings of the density, the numbers of samples that it was fitted on per class, and the ranking of other
      densities, which are facts about the patients;
    - the seed, from which whoever has the model computes the latents.

    With a guarantee, the number of patients is not released either, and if it covers the samples, nor are the audit's
    results: both would reveal more than the guarantee allows.

    Args:
        folder: generated samples.
        run: the run.
        synthesizer: model and densities.
        audit: audit of these samples.
        threshold: condition of the release, for the datasheet.
    """
    generated, guarantee = read_json(folder / PROVENANCE, dict[str, Any]), synthesizer.guarantee
    modalities = synthesizer.vae.modalities
    released: dict[str, Any] = {
        "notice": NOTICE,
        "generator": {"multimodal-vae": version("multimodal-vae")},
        "modalities": {
            name: {
                "kind": modality.name,
                "shape": list(modality.shape),
                "values": _VALUES[generated["noise_by_modality"][name]],
            }
            for name, modality in modalities.items()
        },
        "files": [name for name, modality in modalities.items() if modality.cell == "path"],
        "counts": generated["counts"],
        "license": run.configuration.license,
        "guarantee": guarantee.record() if guarantee else None,
        "patients": None if guarantee else audit.sizes["train"].patients,
        "audit": {"threshold": threshold, **({} if guarantee and guarantee.covers == "samples" else _results(audit))},
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    }
    write_json(folder / PROVENANCE, released)
    write_bytes(folder / DATASHEET, _ENVIRONMENT.get_template("datasheet.md").render(released).encode())


def _results(audit: Audit) -> dict[str, Any]:
    """Return the audit in words and its strongest attack, as far as it concerns the samples and not the model."""
    strongest = strongest_attack(audit)
    verdict = judge_results([each for each in audit.results if each.space not in NEED_MODEL], audit.sizes)
    return {
        "holdout": audit.sizes["holdout"].patients,
        "attack": f"{strongest.name.partition('/')[2]} in {strongest.space}",
        "area": strongest.value,
        "interval": strongest.interval,
        "conclusions": list(verdict.conclusions),
        "limitations": list(verdict.limitations),
    }


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("multimodal_vae.release"),
    finalize=escaped,  # escapes every value, since Jinja has no escaping for Markdown
    autoescape=False,  # noqa: S701  (not HTML)
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"number": format_number, "interval": format_interval}
