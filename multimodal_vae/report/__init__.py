"""Reports of a run: metrics.json, report.html and the model card."""
