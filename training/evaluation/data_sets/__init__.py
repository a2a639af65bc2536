"""Readers of the data sets, each in the layout of its official download."""
