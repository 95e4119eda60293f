"""Plans and cost models as messages: nothing is lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.planning import DEFAULT_MODEL, Correction, CostModel, Engine, Plan, Step, Strategy
from arenalab.planning.proto_form import (
    cost_model_from_proto,
    cost_model_to_proto,
    engine_from_proto,
    engine_to_proto,
    plan_from_proto,
    plan_to_proto,
)

plans = st.builds(
    Plan,
    engine=st.sampled_from(Engine),
    strategy=st.sampled_from(Strategy),
    ef_search=st.integers(0, 4096),
    n_probe=st.integers(0, 65_536),
    candidates=st.integers(0, 4096),
    steps=st.lists(
        st.builds(
            Step,
            condition=st.sampled_from(["tags", "domains"]),
            matches=st.integers(0, 2**40),
            share=st.floats(0, 1),
        ),
        max_size=3,
    ).map(tuple),
    matches=st.integers(0, 2**40),
    cost_us=st.floats(0, 1e9),
    recall_target=st.floats(0.01, 1.0),
    explanation=st.text(st.characters(exclude_categories=["Cs"])),
)


@given(plans)
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    assert plan_from_proto(plan_to_proto(plan)) == plan


def test_version_and_ranking_travel_with_a_plan() -> None:
    ranking = plan_pb2.Ranking(diversity=0.5)
    plan = Plan(engine=Engine.EXACT, strategy=Strategy.NONE)
    message = plan_to_proto(plan, "ab" * 32, ranking)
    assert message.stats_version == "ab" * 32
    assert message.ranking == ranking


def test_a_plan_without_an_engine_leaves_it_to_search() -> None:
    assert plan_from_proto(plan_pb2.QueryPlan(ef_search=9)) is None
    assert engine_from_proto(plan_pb2.ENGINE_UNSPECIFIED) is None


@pytest.mark.parametrize(
    ("engine", "strategy"),
    [(plan_pb2.ENGINE_EXACT, Strategy.SCAN), (plan_pb2.ENGINE_HNSW, Strategy.SELECTOR)],
)
def test_a_strategy_that_is_left_out_filters_in_the_engine(
    engine: plan_pb2.Engine.ValueType, strategy: Strategy
) -> None:
    plan = plan_from_proto(plan_pb2.QueryPlan(engine=engine))
    assert plan is not None
    assert plan.strategy is strategy


def test_values_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="engine has no value 99"):
        plan_from_proto(plan_pb2.QueryPlan(engine=99))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="filter_strategy has no value 99"):
        plan_from_proto(
            plan_pb2.QueryPlan(engine=plan_pb2.ENGINE_EXACT, filter_strategy=99)  # type: ignore[arg-type]
        )


def test_every_engine_has_a_number() -> None:
    assert [engine_from_proto(engine_to_proto(engine)) for engine in Engine] == list(Engine)


def test_a_cost_model_comes_back_as_it_was() -> None:
    model = CostModel(
        dimension=768,
        scan_ns=1.5,
        gather_ns=2.5,
        graph_ns=3.5,
        list_ns=4.5,
        rescore_ns=5.5,
        select_ns=6.5,
        call_us=7.5,
        measured_at_ns=1_800_000_000_123_456_789,
        corrections={"hnsw/post": Correction(1.25, 7)},
    )
    assert vars(cost_model_from_proto(cost_model_to_proto(model))) == vars(model)


def test_without_costs_the_default_serves() -> None:
    assert cost_model_from_proto(search_pb.CostModel()) is DEFAULT_MODEL
    assert not cost_model_to_proto(DEFAULT_MODEL).HasField("measure_time")
