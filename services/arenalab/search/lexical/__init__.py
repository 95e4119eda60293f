"""BM25 over the words of texts."""

from arenalab.search.lexical.index import LexicalIndex
from arenalab.search.lexical.postings import Matches

__all__ = ["LexicalIndex", "Matches"]
