"""Plugins that ``mmvae new`` scaffolds."""
