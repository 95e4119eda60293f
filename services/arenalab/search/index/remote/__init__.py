"""Segments whose vectors and graph live in a distributed engine; all else stays in search."""
