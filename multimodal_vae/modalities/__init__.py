"""Modalities: what one way of seeing a subject needs, and the kinds that come with the package."""
