"""Conformance tests, the laws, of all kinds of parts: for pytest, for Python, and behind ``mmvae check``."""

from multimodal_vae.testing.law import Law, LawBroken, laws
from multimodal_vae.testing.parametrize import parametrize_with_checks

__all__ = ["Law", "LawBroken", "laws", "parametrize_with_checks"]
