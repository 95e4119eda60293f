"""Asking again what was asked once, and comparing the two answers."""
