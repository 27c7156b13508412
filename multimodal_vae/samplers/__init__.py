"""Density samplers: what is learned of one class's latents, so that new ones can be drawn."""
