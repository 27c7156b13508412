"""Fusions: they combine the features of several modalities into one posterior."""
