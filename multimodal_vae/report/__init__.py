"""Pictures of what a run learned and made."""
