"""Fusions: how the features of several modalities become one latent."""
