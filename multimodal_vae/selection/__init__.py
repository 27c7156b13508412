"""Cross-validation of recipes and search for better settings, without a look at the test split."""
