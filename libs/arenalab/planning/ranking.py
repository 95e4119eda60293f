"""What a ranking asks of the search below it.

Planner and search both keep to this: a plan is for as many hits as the search will fetch.
"""

from typing import Final

from arenalab.api.common.v1 import plan_pb2
from arenalab.mesh import InvalidInputError

# Hits fetched for each that is wanted, the least, and the most, so that ranking has a choice.
_CHOICE: Final = 4
_MIN_CHOICE: Final = 100
_MAX_CHOICE: Final = 4096
_MAX_RRF_CONSTANT: Final = 1000
_MAX_HALF_LIFE_S: Final = 3_153_600_000  # a hundred years


def check_ranking(message: plan_pb2.Ranking) -> None:
    """Raises InvalidInputError for a field outside its range, or not a number."""
    _check("lexical_weight", message.lexical_weight, 0, 1)
    _check("quality_weight", message.quality_weight, 0, 1)
    _check("diversity", message.diversity, 0, 1)
    if message.rrf_constant:
        _check("rrf_constant", message.rrf_constant, 1, _MAX_RRF_CONSTANT)
    if message.half_life_s != 0:  # a NaN is not 0 either
        _check("half_life_s", message.half_life_s, 1, _MAX_HALF_LIFE_S)


def changes_order(message: plan_pb2.Ranking) -> bool:
    """Returns whether hits may come in another order than by similarity."""
    return bool(
        message.lexical_weight
        or message.half_life_s
        or message.quality_weight
        or message.diversity
        or message.use_weights
    )


def ranked_candidates_of(limit: int) -> int:
    """Returns how many hits are fetched so that `limit` of them can be chosen by a ranking."""
    return max(limit, min(_MAX_CHOICE, max(_CHOICE * limit, _MIN_CHOICE)))


def _check(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # also refuses NaN
        span = f"[{least}, {most}]" if not least else f"[{least}, {most}], or 0 for the default"
        raise InvalidInputError(
            f"ranking.{field} must be in {span}, got {value}", field=f"ranking.{field}"
        )
