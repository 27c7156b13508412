"""A local page on which sliders move a sample through the latent of a class."""
