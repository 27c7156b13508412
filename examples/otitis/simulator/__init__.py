"""A simulated paediatric ear clinic: one set of causes, an otoscopy image and a wideband tympanogram of each ear."""

VERSION = "1"
"""Changes whenever the same seed would give another cohort."""
