"""Which shard holds which spans."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import filter_pb2
from arenalab.mesh import InvalidInputError
from arenalab.sharding import Shard, ShardMap, ShardMapError
from arenalab.sharding.shard_map import is_within


def shard(name: str, *domains: str, tenants: tuple[str, ...] = ()) -> Shard:
    return Shard(name=name, addresses=(f"{name}:1",), tenants=tenants, domains=domains)


def shard_map(*shards: Shard) -> ShardMap:
    return ShardMap(version=1, shards=shards)


def names(shards: tuple[Shard, ...]) -> list[str]:
    return [shard.name for shard in shards]


BANK = shard_map(shard("cards", "banking/cards"), shard("bank", "banking"), shard("rest"))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("banking", "bank"),
        ("banking/cards", "cards"),
        ("banking/cards/stolen", "cards"),
        ("banking/loans", "bank"),
        ("bankingx", "rest"),
        ("travel", "rest"),
    ],
)
def test_the_first_shard_that_fits_owns_a_span(domain: str, expected: str) -> None:
    assert BANK.owner("default", domain).name == expected


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ([], ["cards", "bank", "rest"]),
        (["banking"], ["cards", "bank"]),
        (["banking/cards"], ["cards"]),
        (["banking/loans"], ["bank"]),
        (["travel"], ["rest"]),
        (["banking/cards", "travel"], ["cards", "rest"]),
    ],
)
def test_only_shards_that_may_hold_a_match_are_asked(
    domains: list[str], expected: list[str]
) -> None:
    assert names(BANK.shards_for("default", domains)) == expected


def test_a_search_above_the_domain_of_a_shard_asks_that_shard() -> None:
    found = shard_map(shard("a", "banking/cards"), shard("b", "travel")).shards_for(
        "t", ["banking"]
    )
    assert names(found) == ["a"]


def test_nested_filters_narrow_the_shards() -> None:
    wanted = filter_pb2.SpanFilter(
        domains=["banking"], all_of=[filter_pb2.SpanFilter(domains=["banking/cards", "travel"])]
    )
    assert names(BANK.shards_for_filter("default", wanted)) == ["cards"]


def test_alternatives_and_exclusions_narrow_nothing() -> None:
    travel = filter_pb2.SpanFilter(domains=["travel"])
    wanted = filter_pb2.SpanFilter(any_of=[travel], none_of=[travel])
    assert len(BANK.shards_for_filter("default", wanted)) == 3


def test_tenants_are_apart() -> None:
    apart = shard_map(shard("a", tenants=("ann",)), shard("b", tenants=("bob",)))
    assert names(apart.shards_for("ann", [])) == ["a"]
    assert apart.owner("bob", "x").name == "b"
    assert apart.shards_for("eve", []) == ()
    with pytest.raises(InvalidInputError, match="no shard holds the domain 'x' of tenant 'eve'"):
        apart.owner("eve", "x")


def test_a_domain_that_no_shard_holds_has_no_owner() -> None:
    with pytest.raises(InvalidInputError, match="no shard holds the domain"):
        shard_map(shard("a", "banking")).owner("default", "travel")


_WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
_SHARDS = st.lists(
    st.tuples(st.lists(_WORDS, max_size=2, unique=True), st.sampled_from([(), ("ann",), ("bob",)])),
    min_size=1,
    max_size=5,
).map(
    lambda rules: shard_map(
        *(shard(f"s{n}", *domains, tenants=tenants) for n, (domains, tenants) in enumerate(rules))
    )
)


@given(_SHARDS, st.sampled_from(["ann", "bob"]), _WORDS, st.lists(_WORDS, max_size=2))
def test_the_owner_of_every_match_is_asked(
    sharded: ShardMap, tenant: str, domain: str, wanted: list[str]
) -> None:
    if wanted and not any(is_within(domain, one) for one in wanted):
        return
    try:
        owner = sharded.owner(tenant, domain)
    except InvalidInputError:
        return
    assert owner in sharded.shards_for(tenant, wanted)


@given(_SHARDS)
def test_a_map_survives_its_message(sharded: ShardMap) -> None:
    assert ShardMap.of_proto(sharded.to_proto()) == sharded


def test_a_map_is_read_from_json() -> None:
    text = json.dumps({"version": "3", "shards": [{"name": "a", "addresses": ["[::1]:50051"]}]})
    expected = Shard(name="a", addresses=("[::1]:50051",))
    assert ShardMap.of_json(text) == ShardMap(version=3, shards=(expected,))


A = {"name": "a", "addresses": ["h:1"]}


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([], "shards must be 1 to 256"),
        ([A, A], "two shards are named a"),
        ([A, {"name": "b", "addresses": ["h:1"]}], "h:1 is in two shards, a and b"),
        ([A | {"name": "A b"}], "a shard's name must match"),
        ([A | {"addresses": []}], "addresses must be 1 to 16, got 0"),
        (
            [A | {"addresses": [f"h:{n}" for n in range(1, 18)]}],
            "addresses must be 1 to 16, got 17",
        ),
        ([A | {"addresses": ["h"]}], "must be host:port, got 'h'"),
        ([A | {"addresses": ["h:70000"]}], "must be host:port"),
        ([A | {"addresses": ["h:1", "h:1"]}], "addresses holds a value twice"),
        ([A | {"domains": [""]}], "a domain must be words"),
        ([A | {"domains": ["a//b"]}], "a domain must be words"),
        ([A | {"domains": ["a/"]}], "a domain must be words"),
        ([A | {"tenants": ["A!"]}], "a tenant must match"),
        ([A | {"weight": 3}], "not a shard map"),
    ],
)
def test_a_map_that_breaks_a_rule_is_refused(shards: list[Any], message: str) -> None:
    with pytest.raises(ShardMapError, match=message):
        ShardMap.of_json(json.dumps({"version": 1, "shards": shards}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": -1}', '{"version": 0}'])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(ShardMapError):
        ShardMap.of_json(text)
