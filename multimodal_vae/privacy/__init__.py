"""What generated samples, and the model that made them, give away of the patients that it learned from."""
