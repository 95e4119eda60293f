"""The phrases of `arenalab.contrast`, under the name that the predictor knows them by."""

from arenalab.contrast.phrase import MAX_WORDS, Phrase, is_filler, parse, stem, words_of

__all__ = ["MAX_WORDS", "Phrase", "is_filler", "parse", "stem", "words_of"]
