"""Questions alike in words and different in meaning: how to see them, and how to make them."""

from arenalab.contrast.certificate import ContrastCertificate, Rate, Served, contrast_certificate
from arenalab.contrast.clash import (
    FREE_KINDS,
    Contrast,
    OutcomeWording,
    alikeness,
    compare,
    compare_all,
    overlap,
    variation,
)
from arenalab.contrast.generator import Asked, ContrastKind, ContrastPair, contrast_pairs
from arenalab.contrast.phrase import Phrase, parse

__all__ = [
    "FREE_KINDS",
    "Asked",
    "Contrast",
    "ContrastCertificate",
    "ContrastKind",
    "ContrastPair",
    "OutcomeWording",
    "Phrase",
    "Rate",
    "Served",
    "alikeness",
    "compare",
    "compare_all",
    "contrast_certificate",
    "contrast_pairs",
    "overlap",
    "parse",
    "variation",
]
