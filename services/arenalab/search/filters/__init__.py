"""Filters over the spans of a segment: exact, by bitmaps."""

from arenalab.search.filters.index import FilterIndex
from arenalab.search.filters.texts import is_word

__all__ = ["FilterIndex", "is_word"]
