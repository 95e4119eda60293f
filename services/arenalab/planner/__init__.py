"""Planner: how a search is best carried out."""
