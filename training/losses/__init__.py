"""The two losses of the paper, and the per-pixel loss of its baseline LSeg+."""
