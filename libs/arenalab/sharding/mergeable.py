"""Which rankings can be merged: those whose scores mean the same in every shard."""

from typing import Final

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import InvalidInputError, PreconditionError, Reason

# Fused ranks are those within a shard, and hits are alike to others of their shard.
_OF_ONE_SHARD: Final = ("lexical_weight", "diversity")


def check_vector_ranking(request: pb.SearchRequest | pb.BatchSearchRequest) -> None:
    """Raises PreconditionError for a ranking of hits that carry no scores."""
    ranking, _ = _ranking_of(request)
    if ranking != plan_pb2.Ranking() and ranking != plan_pb2.Ranking(
        rrf_constant=ranking.rrf_constant
    ):
        raise PreconditionError(
            "hits for a vector carry no scores to merge a ranking of several shards by:"
            " use SearchText, or filter by the domains of one shard",
            Reason.UNSUPPORTED_REQUEST,
            feature="ranking",
        )


def check_text_ranking(request: pb.SearchTextRequest) -> None:
    """Raises InvalidInputError for a ranking whose scores depend on the rest of a shard.

    Age, quality and weight are of each hit alone, so that scores by them compare.
    """
    ranking, path = _ranking_of(request)
    for name in _OF_ONE_SHARD:
        if getattr(ranking, name) > 0:  # what is below, or no number, a shard refuses
            raise InvalidInputError(
                f"{path}.{name} must be 0 over several shards, whose scores do not compare:"
                " route the search to one shard by its domains",
                field=f"{path}.{name}",
            )


def _ranking_of(
    request: pb.SearchRequest | pb.BatchSearchRequest | pb.SearchTextRequest,
) -> tuple[plan_pb2.Ranking, str]:
    """Returns the ranking that counts, and where in the request it is."""
    if isinstance(request, pb.BatchSearchRequest) or request.HasField("plan"):
        return request.plan.ranking, "plan.ranking"
    return request.ranking, "ranking"
