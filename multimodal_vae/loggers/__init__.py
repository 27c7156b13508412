"""Loggers: where the metrics of a training go."""
