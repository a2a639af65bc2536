"""Programs that measure both sides of a claim in one run and print the ratio. Not installed, not timed in tests."""
