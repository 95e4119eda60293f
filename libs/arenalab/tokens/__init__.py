"""Tokens of language models: how many a text has, and which text they are."""

from arenalab.tokens.counter import Tokens

__all__ = ["Tokens"]
