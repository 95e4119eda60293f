"""Searches, from a vector or a text to spans."""
