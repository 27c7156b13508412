"""Synthesis: new samples of a class, and new modalities of given samples."""
