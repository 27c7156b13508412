"""Metric losses: what draws the classes apart in the latent."""
