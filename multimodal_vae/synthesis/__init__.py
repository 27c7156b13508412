"""Synthesis: new samples of a wanted class."""
