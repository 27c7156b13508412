"""Log-likelihoods of samples under a model."""
