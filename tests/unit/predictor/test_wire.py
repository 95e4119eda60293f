import pytest

from arenalab.api.common.v1 import span_pb2
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.atomic import Span, Status, to_proto
from arenalab.predictor.staged import memory_of as staged_memory_of
from arenalab.predictor.staged import walk_back
from arenalab.predictor.wire import memory_of
from arenalab.testing.spans import make_span

GONE = make_span("Is anybody there?", "No.").id


def _chain(size: int, *, before: tuple[str, ...] = ()) -> list[Span]:
    """Returns spans that each follow the one before, oldest first."""
    spans: list[Span] = []
    for n in range(size):
        previous = (spans[-1].id,) if spans else before
        spans.append(make_span(f"step {n}", f"done {n}", did=f"act_{n}", previous_spans=previous))
    return spans


def _hit(span: Span, *earlier: Span) -> search_pb.Hit:
    return search_pb.Hit(span=to_proto(span), trajectory=[to_proto(one) for one in earlier])


@pytest.mark.parametrize(
    ("size", "before", "depth", "is_fragment"),
    [
        (1, (), 0, False),
        (1, (GONE,), 0, True),
        (4, (), 3, False),
        (4, (GONE,), 3, True),
        (11, (), 10, False),
        (14, (GONE,), 10, False),  # cut at its depth, not broken
    ],
)
def test_a_trajectory_that_ends_at_a_span_that_is_gone_is_a_fragment(
    size: int,
    before: tuple[str, ...],
    depth: int,
    is_fragment: bool,  # noqa: FBT001
) -> None:
    *earlier, last = _chain(size, before=before)
    walked = walk_back(last, {span.id: span for span in [*earlier, last]})
    memory = memory_of(_hit(last, *walked))
    assert memory is not None
    assert (memory.trajectory_depth, memory.is_fragment) == (depth, is_fragment)
    assert memory.situation.actions == tuple(f"act_{n}" for n in range(size - depth - 1, size))
    assert memory.earlier == tuple(f"step {n}" for n in range(size - 2, size - depth - 2, -1))


def test_a_cycle_ends_where_it_closes_and_is_no_fragment() -> None:
    first = make_span("a", "x")
    second = make_span("b", "y", previous_spans=(first.id,))
    closing = to_proto(first)
    closing.context.previous_spans.append(second.id)
    memory = memory_of(search_pb.Hit(span=to_proto(second), trajectory=[closing]))
    assert memory is not None
    assert (memory.trajectory_depth, memory.is_fragment) == (1, False)


def test_calibration_and_serving_keep_the_same_of_a_span() -> None:
    *earlier, last = _chain(3)
    walked = walk_back(last, {span.id: span for span in earlier})
    served, staged = memory_of(_hit(last, *walked)), staged_memory_of(last, walked)
    assert served is not None
    for name in ("question", "outcome", "situation", "earlier", "when_s", "quality", "is_measured"):
        assert getattr(served, name) == getattr(staged, name)


def test_a_failed_span_answers_with_its_consequence_and_a_pending_one_not_at_all() -> None:
    failed = make_span("q", "It broke.", status=Status.FAILED)
    memory = memory_of(_hit(failed))
    assert memory is not None
    assert memory.outcome == "It broke."
    assert memory.when_s == failed_at(failed)
    pending = to_proto(failed)
    pending.status = span_pb2.SPAN_STATUS_PENDING
    assert memory_of(search_pb.Hit(span=pending)) is None


def failed_at(span: Span) -> float:
    """Returns when a span began, in Unix seconds."""
    return to_proto(span).when.seconds
