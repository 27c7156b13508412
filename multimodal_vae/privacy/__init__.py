"""Privacy metrics: what generated samples and their model reveal about the patients they learned from."""
