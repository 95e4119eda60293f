"""Questions alike in words and different in meaning: how to see them, and how to make them."""

from arenalab.contrast.clash import (
    Contrast,
    alikeness,
    compare,
    essential_share,
    overlap,
    variation,
)
from arenalab.contrast.phrase import Phrase, parse

__all__ = [
    "Contrast",
    "Phrase",
    "alikeness",
    "compare",
    "essential_share",
    "overlap",
    "parse",
    "variation",
]
