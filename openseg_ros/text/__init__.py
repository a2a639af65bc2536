"""Phrases: parsing, vocabulary, frozen text encoders."""
