"""What a ranking takes into account."""

from dataclasses import dataclass
from typing import Final

# Dampens the first ranks; Cormack, Clarke and Buettcher, SIGIR 2009, use 60.
DEFAULT_RRF_CONSTANT: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """The default of every field leaves the order by similarity as it is."""

    lexical_weight: float = 0.0  # of BM25 ranks beside those by similarity, in [0, 1]
    rrf_constant: int = DEFAULT_RRF_CONSTANT  # in [1, 1000]
    half_life_s: float = 0.0  # age at which a span counts half; 0: age does not count
    quality_weight: float = 0.0  # share of a score that depends on quality, in [0, 1]
    diversity: float = 0.0  # what a hit loses by being like those before it, in [0, 1]
    use_weights: bool = False  # whether the weights that were set count
