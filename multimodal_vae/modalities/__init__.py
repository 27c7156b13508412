"""Modalities: the base class and the kinds that come with the package."""
