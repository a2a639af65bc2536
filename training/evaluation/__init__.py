"""Metrics of masks and words, and how they are measured."""
