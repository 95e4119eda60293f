"""What requests to search say, beside what the service's own tests show."""

import math

import numpy as np
import pytest

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import InvalidInputError
from arenalab.search.requests import batch_query_of, query_of, text_query_of

VECTOR = np.ones(4, "<f4").tobytes()
WALK = plan_pb2.QueryPlan(engine=plan_pb2.ENGINE_HNSW, ef_search=64, recall_target=0.8)


def test_where_a_plan_has_a_recall_target_that_one_counts() -> None:
    request = pb.SearchRequest(vector=VECTOR, limit=5, plan=WALK, recall_target=0.999)
    assert query_of(request).recall_target == 0.8
    text = pb.SearchTextRequest(text="why", limit=5, plan=WALK)
    assert text_query_of(text).query.recall_target == 0.8
    batch = pb.BatchSearchRequest(vectors=VECTOR, limit=5, plan=WALK)
    assert batch_query_of(batch).recall_target == 0.8


def test_a_plan_that_leaves_the_engine_to_search_still_says_how_well() -> None:
    plan = plan_pb2.QueryPlan(recall_target=1.0)
    query = query_of(pb.SearchRequest(vector=VECTOR, limit=5, plan=plan))
    assert (query.plan, query.recall_target) == (None, 1.0)


def test_a_plan_without_a_recall_target_leaves_that_of_the_request() -> None:
    plan = plan_pb2.QueryPlan(engine=plan_pb2.ENGINE_HNSW, ef_search=64)
    request = pb.SearchRequest(vector=VECTOR, limit=5, plan=plan, recall_target=0.9)
    assert query_of(request).recall_target == 0.9
    request.ClearField("recall_target")
    assert query_of(request).recall_target == 0.99


@pytest.mark.parametrize("target", [-0.1, 1.1, math.nan, math.inf])
def test_a_recall_target_outside_its_range_is_refused_by_the_name_of_its_field(
    target: float,
) -> None:
    wrong = {
        "recall_target": pb.SearchRequest(vector=VECTOR, limit=5, recall_target=target),
        "plan.recall_target": pb.SearchRequest(
            vector=VECTOR, limit=5, plan=plan_pb2.QueryPlan(recall_target=target)
        ),
    }
    for field, request in wrong.items():
        with pytest.raises(InvalidInputError, match=r"must be in \(0, 1\]") as caught:
            query_of(request)
        assert caught.value.metadata["field"] == field


def test_a_batch_is_not_ranked_and_says_so() -> None:
    plan = plan_pb2.QueryPlan(ranking=plan_pb2.Ranking(diversity=0.5))
    with pytest.raises(InvalidInputError, match="a batch: its hits are not ranked") as caught:
        batch_query_of(pb.BatchSearchRequest(vectors=VECTOR, limit=5, plan=plan))
    assert caught.value.metadata["field"] == "plan.ranking"


def test_a_batch_may_carry_a_ranking_that_changes_nothing() -> None:
    plan = plan_pb2.QueryPlan(ranking=plan_pb2.Ranking())
    query = batch_query_of(pb.BatchSearchRequest(vectors=VECTOR, limit=5, plan=plan))
    assert query.ranking is None
