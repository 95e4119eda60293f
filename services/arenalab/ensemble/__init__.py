"""Ensemble: which creatures are asked, what happens when they abstain, and the seal."""
