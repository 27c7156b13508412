"""The laws that every part keeps, for third parties to run on their own: in pytest, from Python, or ``mmvae check``."""

from multimodal_vae.testing.law import Law, LawBroken, laws
from multimodal_vae.testing.parametrize import parametrize_with_checks

__all__ = ["Law", "LawBroken", "laws", "parametrize_with_checks"]
