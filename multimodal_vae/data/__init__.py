"""Data sets from files or arrays, split by patient, and class-balanced batches."""
