"""FallbackService: protobuf to an order, the events of its completion to protobuf."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf import struct_pb2

from arenalab.api.common.v1 import answer_pb2, message_pb2, routing_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as pb_grpc
from arenalab.fallback.breaker import State
from arenalab.fallback.citations import Grounding
from arenalab.fallback.completing import Completing
from arenalab.fallback.config import Api
from arenalab.fallback.credentials import credentials_of
from arenalab.fallback.endpoint import Endpoint
from arenalab.fallback.events import Delta, Event, Started
from arenalab.fallback.evidence import Record
from arenalab.fallback.options import price_of
from arenalab.fallback.order import (
    Order,
    check_content,
    check_count,
    check_sampling,
    parse_messages,
    plain_fields,
)
from arenalab.fallback.prompt import Message
from arenalab.fallback.routing import Strategy
from arenalab.mesh import InvalidInputError, tenant_of

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["FallbackService"].full_name

_ROLES: Final = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "tool",
}
_STATES: Final = {
    State.CLOSED: pb.BREAKER_STATE_CLOSED,
    State.OPEN: pb.BREAKER_STATE_OPEN,
    State.HALF_OPEN: pb.BREAKER_STATE_HALF_OPEN,
}

_APIS: Final = {
    Api.OPENAI: pb.PROVIDER_API_OPENAI,
    Api.ANTHROPIC: pb.PROVIDER_API_ANTHROPIC,
    Api.GEMINI: pb.PROVIDER_API_GEMINI,
}
_ROUTINGS: Final = {
    routing_pb2.ROUTING_UNSPECIFIED: None,
    routing_pb2.ROUTING_ORDERED: Strategy.ORDERED,
    routing_pb2.ROUTING_WEIGHTED: Strategy.WEIGHTED,
    routing_pb2.ROUTING_CHEAPEST: Strategy.CHEAPEST,
    routing_pb2.ROUTING_FASTEST: Strategy.FASTEST,
}
_GROUNDINGS: Final = {
    Grounding.NONE: answer_pb2.GROUNDING_UNSPECIFIED,
    Grounding.CITED: answer_pb2.GROUNDING_CITED,
    Grounding.NOT_IN_EVIDENCE: answer_pb2.GROUNDING_NOT_IN_EVIDENCE,
    Grounding.UNCITED: answer_pb2.GROUNDING_UNCITED,
    Grounding.FALSE_CITATION: answer_pb2.GROUNDING_FALSE_CITATION,
}


class FallbackService(pb_grpc.FallbackServiceServicer):
    """Completes over the configured providers."""

    def __init__(self, completing: Completing) -> None:
        self._completing = completing

    async def Complete(
        self, request: pb.CompleteRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.CompleteResponse]:
        tenant_of(request.scope)  # checked, though no provider learns of it
        names = {endpoint.name for endpoint in self._completing.endpoints}
        order = order_of(request, names)
        async with aclosing(self._completing.complete(order)) as events:
            async for event in events:
                yield _response(event)

    async def ListProviders(
        self, request: pb.ListProvidersRequest, context: grpc.ServicerContext
    ) -> pb.ListProvidersResponse:
        return pb.ListProvidersResponse(
            providers=[self._provider(endpoint) for endpoint in self._completing.endpoints]
        )

    def _provider(self, endpoint: Endpoint) -> pb.Provider:
        means, config, name = self._completing.means, endpoint.config, endpoint.name
        return pb.Provider(
            name=name,
            base_url=config.base_url,
            default_model=config.default_model,
            has_key=config.api_key is not None,
            breaker=_STATES[endpoint.worst_state()],
            api=_APIS[config.api],
            models=self._models(endpoint),
            spent_usd_micros=means.purse.spent(name),
            cap_usd_micros=means.purse.cap_of(name),
            running=endpoint.running,
            max_concurrent=config.terms.max_concurrent,
            weight=config.terms.weight,
            time_to_first_token_ms=means.watch.latencies.last_s(name, config.default_model) * 1e3,
            model_patterns=config.terms.models,
        )

    def _models(self, endpoint: Endpoint) -> list[pb.ProviderModel]:
        """Returns the default model, and those that were asked for lately."""
        states = endpoint.states()
        table = self._completing.means.prices.table()
        found = []
        for model in dict.fromkeys([endpoint.config.default_model, *states]):
            told = pb.ProviderModel(name=model, breaker=_STATES[states.get(model, State.CLOSED)])
            if (price := price_of(endpoint, model, table)) is not None:
                told.input_usd_micros_per_million = price.input
                told.output_usd_micros_per_million = price.output
            found.append(told)
        return found

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_FallbackServiceServicer_to_server(self, server)


def order_of(request: pb.CompleteRequest, providers: Collection[str] = ()) -> Order:
    """Returns the request in the domain's terms.

    Args:
        request: As it came.
        providers: Names of the configured ones.

    Raises:
        InvalidInputError: A field is outside its documented range.
    """
    sampling: dict[str, Any] = {
        name: getattr(request, name)
        for name in ("temperature", "top_p", "max_tokens", "seed")
        if request.HasField(name)
    }
    if request.stop:
        sampling["stop"] = list(request.stop)
    check_sampling(sampling)
    return Order(
        messages=_messages(request),
        provider=request.provider,
        model=request.model,
        evidence=[Record(e.span_id, e.question, e.outcome) for e in request.evidence],
        sampling=sampling,
        passthrough=plain_fields(_object(request.passthrough)),
        credentials=credentials_of(
            [(each.provider, each.api_key) for each in request.credentials],
            request.provider,
            providers,
        ),
        routing=_routing(request.routing),
        max_cost_usd_micros=request.max_cost_usd_micros,
    )


def _routing(value: routing_pb2.Routing.ValueType) -> Strategy | None:
    if value not in _ROUTINGS:
        raise InvalidInputError(f"routing must be a known one, got {value}", field="routing")
    return _ROUTINGS[value]


def _messages(request: pb.CompleteRequest) -> list[Message]:
    if request.messages_json:
        return parse_messages(request.messages_json)
    check_count("messages", len(request.messages))
    found: list[Message] = []
    for n, message in enumerate(request.messages):
        role = _ROLES.get(message.role)
        if role is None:
            raise InvalidInputError(
                f"messages[{n}].role must be a known role, got {message.role}",
                field=f"messages[{n}].role",
            )
        check_content(n, message.content)
        found.append({"role": role, "content": message.content})
    return found


def _object(struct: struct_pb2.Struct) -> Mapping[str, Any]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _object(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _response(event: Event) -> pb.CompleteResponse:
    if isinstance(event, Started):
        started = pb.CompletionStarted(
            provider=event.provider,
            model=event.model,
            attempts=event.attempts,
            hedged=event.is_hedged,
        )
        return pb.CompleteResponse(started=started)
    if isinstance(event, Delta):
        delta = pb.CompletionDelta(
            text=event.text, tool_calls_json=event.tool_calls_json, refusal=event.refusal
        )
        return pb.CompleteResponse(delta=delta)
    finished = pb.CompletionFinished(
        finish_reason=event.finish_reason,
        prompt_tokens=event.prompt_tokens,
        completion_tokens=event.completion_tokens,
        cited_span_ids=event.cited_span_ids,
        cached_prompt_tokens=event.cached_prompt_tokens,
        reasoning_tokens=event.reasoning_tokens,
        cost_usd_micros=event.cost_usd_micros,
        grounding=_GROUNDINGS[event.grounding],
    )
    return pb.CompleteResponse(finished=finished)
