"""The two losses of the paper."""
