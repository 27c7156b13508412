"""What marks samples as synthetic: the notice, and the names of the files that carry it; without torch."""

NOTICE = "synthetic, not for diagnosis"
TABLE, PROVENANCE, ORIGINAL = "manifest.csv", "provenance.json", "original"
