"""Asks the team's own LLM, with the evidence at hand."""
