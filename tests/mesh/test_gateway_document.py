"""The OpenAPI document against the routes that the gateway has."""

from typing import Any

from jsonschema import Draft202012Validator

from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.gateway import embeddings, feedback, openai, policy, riskcoverage
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.cors import EXPOSED
from arenalab.gateway.openapi.document import document
from arenalab.gateway.responses import request
from arenalab.gateway.wiring import Peers, routes_of
from arenalab.mesh import Telemetry, connect
from arenalab.tokens import Tokens

DOCUMENT = document()
OPEN = {"/health", "/ready", "/metrics", "/openapi.json", "/docs"}


async def test_every_route_is_described_and_every_description_is_a_route() -> None:
    telemetry = Telemetry("gateway")
    async with connect("127.0.0.1:1", telemetry) as channel:
        search = search_grpc.SearchServiceStub(channel)
        peers = Peers(channel, search, channel, channel)
        exact, by_prefix = routes_of(GatewayConfig(), telemetry, Tokens(), peers)
    routes = {
        (route.name, method.lower())
        for route in (*exact, *by_prefix.values())
        for method in route.methods
    }
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == routes
    for prefix, route in by_prefix.items():
        assert route.name.startswith(prefix)
    assert {route.name for route in exact if route.is_open} == OPEN


def test_only_what_is_open_needs_no_key() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert (operation.get("security") == []) is (path in OPEN)
            assert ("401" in operation["responses"]) is (path not in OPEN)


def test_every_schema_is_one_and_is_used() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert _referred(DOCUMENT) == {f"#/components/schemas/{name}" for name in schemas}


def test_what_is_read_is_described() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, known in (
        ("Policy", policy.KNOWN),
        ("EmbeddingsRequest", embeddings.KNOWN),
        ("FeedbackRequest", feedback.KNOWN),
    ):
        assert schemas[name]["properties"].keys() == known
    # Of these, what only providers understand is left out.
    assert schemas["ChatRequest"]["properties"].keys() <= openai.KNOWN
    assert schemas["ResponsesRequest"]["properties"].keys() <= request.KNOWN
    parameters = DOCUMENT["paths"]["/v1/risk-coverage"]["get"]["parameters"]
    assert {each["name"] for each in parameters} == riskcoverage.KNOWN


def test_what_a_page_may_read_is_described() -> None:
    described = {
        header
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
        for header in response["headers"]
    }
    exposed = {name.strip() for name in EXPOSED.split(",")}
    # These two are for the browser itself.
    assert described - {"allow", "www-authenticate"} <= exposed


def test_operations_have_names_of_their_own() -> None:
    names = [op["operationId"] for item in DOCUMENT["paths"].values() for op in item.values()]
    assert len(set(names)) == len(names)


def _referred(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = set().union(*map(_referred, value.values())) if value else set()
        return found | ({value["$ref"]} if isinstance(value.get("$ref"), str) else set())
    if isinstance(value, list):
        return set().union(*map(_referred, value)) if value else set()
    return set()
