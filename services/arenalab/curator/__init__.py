"""Curator: from raw files to measured, signed, published dataset versions."""
