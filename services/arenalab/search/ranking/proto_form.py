"""A ranking from its message and back."""

from arenalab.api.common.v1 import plan_pb2
from arenalab.planning.ranking import changes_order, check_ranking
from arenalab.search.ranking.settings import DEFAULT_RRF_CONSTANT, Ranking


def ranking_of(message: plan_pb2.Ranking) -> Ranking | None:
    """Returns the ranking of its message; None where it leaves the order as it is.

    Raises:
        InvalidInputError: A field is outside its range, or not a number.
    """
    check_ranking(message)
    if not changes_order(message):
        return None
    return Ranking(
        lexical_weight=message.lexical_weight,
        # Without a lexical part there is no fusion for the constant to matter in.
        rrf_constant=(message.lexical_weight and message.rrf_constant) or DEFAULT_RRF_CONSTANT,
        half_life_s=message.half_life_s,
        quality_weight=message.quality_weight,
        diversity=message.diversity,
        use_weights=message.use_weights,
    )


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
