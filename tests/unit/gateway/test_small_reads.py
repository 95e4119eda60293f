from typing import Any

import pytest

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.completion import fingerprint
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import cost_usd
from arenalab.gateway.feedback import parse_feedback
from arenalab.gateway.ids import prediction_id
from arenalab.gateway.query import Query
from arenalab.gateway.riskcoverage import KNOWN, parse_query

UUID = "01980000-0000-7000-8000-00000000002a"
HEX = UUID.replace("-", "")


def _exchange(query: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Exchange:
    scope: dict[str, Any] = {
        "method": "GET",
        "path": "/",
        "headers": headers,
        "query_string": query.encode(),
    }

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent here")

    return Exchange(scope, nothing, nothing, now=lambda: 0.0, write_timeout_s=1.0)


def _curve(query: str) -> Any:
    return parse_query(Query(_exchange(query), KNOWN), "acme")


@pytest.mark.parametrize(
    "name", [UUID, HEX, UUID.upper(), f"chatcmpl-{HEX}", f"resp_{HEX}", f"resp_{UUID}"]
)
def test_an_answer_is_named_in_each_of_its_forms(name: str) -> None:
    assert prediction_id(name, param="id") == UUID


@pytest.mark.parametrize("name", ["feedback:" + UUID, "resp_12", "x" * 128])
def test_another_name_is_taken_as_it_is(name: str) -> None:
    assert prediction_id(name, param="id") == name


@pytest.mark.parametrize("name", ["", "x" * 129, "é", "a\nb"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        prediction_id(name, param="id")
    assert caught.value.param == "id"


def test_the_query_of_the_curve_is_read() -> None:
    asked = _curve("alpha=0.05&alpha=1e-2&creature=f%C3%A9&groups=true&max_points=3&delta=0.1")
    assert list(asked.alphas) == [0.05, 0.01]
    assert (asked.creature, asked.with_groups, asked.max_points, asked.delta) == (
        "fé",
        True,
        3,
        0.1,
    )
    assert not asked.HasField("cost_per_fallback_usd_micros")
    assert _curve("cost_per_fallback_usd_micros=0").HasField("cost_per_fallback_usd_micros")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("alpha=0", "alpha"),
        ("alpha=nan", "alpha"),
        ("alpha=1_0", "alpha"),
        ("&".join(["alpha=0.1"] * 17), "alpha"),
        ("delta=0.1&delta=0.2", "delta"),
        ("max_points=1.5", "max_points"),
        ("max_points=" + "9" * 5000, "max_points"),
        ("groups=perhaps", "groups"),
        ("guarantee_kind=none", "guarantee_kind"),
        ("creature=%FF", None),
        ("&".join(f"p{n}=1" for n in range(65)), None),
    ],
)
def test_a_query_that_is_wrong_is_refused(query: str, param: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        _curve(query)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_parameter_that_is_not_known_is_named() -> None:
    exchange = _exchange("nonsense=1")
    Query(exchange, KNOWN)
    assert exchange.extra == [("x-arenalab-warning", 'unknown field "nonsense" ignored')]
    with pytest.raises(ApiError):
        Query(_exchange("nonsense=1", ((b"x-arenalab-strict", b"true"),)), KNOWN)


def test_feedback_says_at_least_one_thing() -> None:
    request = parse_feedback({"prediction_id": UUID, "actual_output": "", "rating": None}, "acme")
    assert request.HasField("actual_output")
    assert not request.HasField("rating")
    with pytest.raises(ApiError) as caught:
        parse_feedback({"prediction_id": UUID, "comment": "Hm."}, "acme")
    assert caught.value.code == "missing_required_parameter"


def test_a_fingerprint_changes_with_data_index_and_settings() -> None:
    def made(**members: Any) -> str | None:
        base = {"dataset_version": "a", "model_digest": "m", "config_digest": "c"}
        return fingerprint(pb.AnswerFinished(**(base | members)))

    found = {
        made(),
        made(dataset_version="b"),
        made(model_digest="n"),
        made(config_digest="d"),
        made(plan={"engine": 1}),
    }
    assert len(found) == 5
    assert made() == made()
    assert made(dataset_version="") is None


@pytest.mark.parametrize(
    ("finished", "usd"),
    [
        (pb.AnswerFinished(), "0"),
        (pb.AnswerFinished(provider="p"), None),
        (pb.AnswerFinished(rephrasing=pb.Rephrasing(provider="p")), None),
        (pb.AnswerFinished(provider="p", cost_usd_micros=0), "0"),
        (pb.AnswerFinished(cost_usd_micros=1), "0.000001"),
        (pb.AnswerFinished(cost_usd_micros=2_500_000), "2.5"),
        (pb.AnswerFinished(cost_usd_micros=10_000_000), "10"),
    ],
)
def test_a_cost_is_plain_decimals(finished: pb.AnswerFinished, usd: str | None) -> None:
    assert cost_usd(finished) == usd
