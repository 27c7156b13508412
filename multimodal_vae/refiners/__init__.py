"""Refiners."""
