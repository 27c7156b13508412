"""Releases: folders of synthetic samples to hand on, and the check of such a folder."""
