"""Pictures, figures and words of what a run learned and made."""
