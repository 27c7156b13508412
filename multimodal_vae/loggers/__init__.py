"""Loggers: where the figures of a training go."""
