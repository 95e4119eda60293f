"""Ordering hits by more than the similarity of their vectors."""

from arenalab.search.ranking.order import Candidates, rank, useful_candidates
from arenalab.search.ranking.proto_form import ranking_of, ranking_to_proto
from arenalab.search.ranking.settings import DEFAULT_RRF_CONSTANT, Ranking

__all__ = [
    "DEFAULT_RRF_CONSTANT",
    "Candidates",
    "Ranking",
    "rank",
    "ranking_of",
    "ranking_to_proto",
    "useful_candidates",
]
