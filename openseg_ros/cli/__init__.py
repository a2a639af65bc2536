"""The command `openseg`."""
