"""Metric losses: they separate the classes in the latent."""
