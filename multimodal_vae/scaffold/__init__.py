"""New distributions: what ``mmvae new`` writes for an author to begin with."""
