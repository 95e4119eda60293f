"""A ranking from its message and back."""

from typing import Final

from arenalab.api.common.v1 import plan_pb2
from arenalab.mesh import InvalidInputError
from arenalab.search.ranking.settings import DEFAULT_RRF_CONSTANT, Ranking

_MAX_RRF_CONSTANT: Final = 1000
_MAX_HALF_LIFE_S: Final = 3_153_600_000  # a hundred years


def ranking_of(message: plan_pb2.Ranking) -> Ranking | None:
    """Returns the ranking of its message; None where it leaves the order as it is.

    Raises:
        InvalidInputError: A field is outside its range, or not a number.
    """
    _check("lexical_weight", message.lexical_weight, 0, 1)
    _check("quality_weight", message.quality_weight, 0, 1)
    _check("diversity", message.diversity, 0, 1)
    if message.rrf_constant:
        _check("rrf_constant", message.rrf_constant, 1, _MAX_RRF_CONSTANT)
    if message.half_life_s != 0:  # a NaN is not 0 either
        _check("half_life_s", message.half_life_s, 1, _MAX_HALF_LIFE_S)
    ranking = Ranking(
        lexical_weight=message.lexical_weight,
        # Without a lexical part there is no fusion for the constant to matter in.
        rrf_constant=(message.lexical_weight and message.rrf_constant) or DEFAULT_RRF_CONSTANT,
        half_life_s=message.half_life_s,
        quality_weight=message.quality_weight,
        diversity=message.diversity,
        use_weights=message.use_weights,
    )
    return None if ranking == Ranking() else ranking


def ranking_to_proto(ranking: Ranking) -> plan_pb2.Ranking:
    """Returns the message of a ranking."""
    return plan_pb2.Ranking(
        lexical_weight=ranking.lexical_weight,
        rrf_constant=ranking.rrf_constant,
        half_life_s=ranking.half_life_s,
        quality_weight=ranking.quality_weight,
        diversity=ranking.diversity,
        use_weights=ranking.use_weights,
    )


def _check(field: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # also refuses NaN
        span = f"[{least}, {most}]" if not least else f"[{least}, {most}], or 0 for the default"
        raise InvalidInputError(
            f"ranking.{field} must be in {span}, got {value}", field=f"ranking.{field}"
        )
