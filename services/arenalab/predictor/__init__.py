"""Answers from past spans: match, group, confidence, decision; deterministic."""
