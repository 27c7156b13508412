"""Density samplers: they fit the latents of one class and draw new ones."""
