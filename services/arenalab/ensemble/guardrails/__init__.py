"""Guardrails: what may be said to memory and providers, and what may be told to a caller."""
