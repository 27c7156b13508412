"""The page of audits says whose privacy each figure is about, and what is usual; the holdout's patients are others."""

from __future__ import annotations

from audits import page, with_prefix
from multimodal_vae.privacy.audit import Audit
from multimodal_vae.privacy.result import PrivacyResult, Verdict, Who


def test_patients_are_renamed_and_nothing_else() -> None:
    manifest = "sample_id,patient_id,label\np1-L1,p1,AOM\np2-R1,p2,NOE\n"
    assert with_prefix(manifest, "510-") == "sample_id,patient_id,label\np1-L1,510-p1,AOM\np2-R1,510-p2,NOE\n"


def audited(who: Who, value: float, usual: float) -> Audit:
    metric = "closest record", value, "real", (value - 0.1, value + 0.1), usual
    results = [
        PrivacyResult(*metric, who="train", space="data"),
        PrivacyResult(*metric, who=who, space="latent"),
        PrivacyResult("membership/blind", 0.5, "real", None, 0.5, who="train", space="data"),
    ]
    return Audit({}, results, Verdict(True, [f"{value} was found."], ["all else"]))


def test_each_figure_has_its_own_column_and_what_is_usual() -> None:
    text = page({"clean": audited("train", 0.7, 1.0), "paper-small": audited("fitted on", 0.3, 2.0)}, seed=10)
    assert (
        "| model trained on | data | closest record |  | 0.70 (0.60 to 0.80) / 1.00 | 0.30 (0.20 to 0.40) / 2.00 |"
        in text
    )
    assert "| model trained on | latent | closest record | 1.00 | 0.70 (0.60 to 0.80) |  |" in text
    assert "| densities fitted on | latent | closest record | 2.00 |  | 0.30 (0.20 to 0.40) |" in text
    assert "blind" not in text
    assert "## paper-small\n\n- 0.3 was found." in text
