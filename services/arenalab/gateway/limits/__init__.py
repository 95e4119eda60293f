"""Bounds on what is taken on: of the whole gateway, and of each key."""
