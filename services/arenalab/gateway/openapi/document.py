"""The OpenAPI document: every path with its requests, responses and headers."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from arenalab.gateway.feedback import MAX_SUBJECT
from arenalab.gateway.openai import MAX_MODEL
from arenalab.gateway.openapi import chat, others, responses, vouching
from arenalab.gateway.openapi.parts import ID, STRING, Schema, ref, text

OPENAPI: Final = "3.1.0"
JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_TEXT: Final = "text/plain"

_SCHEMAS: Final[dict[str, Schema]] = {
    "Begun": vouching.BEGUN,
    "ChatChunk": chat.CHUNK,
    "ChatCompletion": chat.COMPLETION,
    "ChatMessage": chat.MESSAGE,
    "ChatRequest": chat.REQUEST,
    "ChatUsage": chat.USAGE,
    "Checkpoint": others.CHECKPOINT,
    "ContentPart": chat.CONTENT_PART,
    "Embeddings": others.EMBEDDINGS,
    "EmbeddingsRequest": others.EMBEDDINGS_REQUEST,
    "Erased": others.ERASED,
    "Error": vouching.ERROR,
    "Evidence": vouching.EVIDENCE,
    "Extension": vouching.EXTENSION,
    "Feedback": others.FEEDBACK,
    "FeedbackRequest": others.FEEDBACK_REQUEST,
    "Guarantee": vouching.GUARANTEE,
    "Health": others.HEALTH,
    "InputItem": responses.ITEM,
    "ItemPart": responses.ITEM_PART,
    "Model": others.MODEL,
    "Models": others.MODELS,
    "NotReady": others.NOT_READY,
    "OutputItem": responses.OUTPUT_ITEM,
    "OutputPart": responses.OUTPUT_PART,
    "Policy": vouching.POLICY,
    "Ready": others.READY,
    "Receipt": vouching.RECEIPT,
    "ReceiptFound": others.RECEIPT_FOUND,
    "Response": responses.RESPONSE,
    "ResponseEvent": responses.EVENT,
    "ResponseUsage": responses.USAGE,
    "ResponsesRequest": responses.REQUEST,
    "RiskCoverage": others.RISK_COVERAGE,
    "RiskRow": others.RISK_ROW,
}

# What each status of an error means, wherever it comes from.
_ERRORS: Final = {
    400: "The request must be changed; param names the field.",
    401: "The API key is missing or unknown.",
    403: "The key, or the host without a key, may not do this.",
    404: "What was named is not there.",
    405: "The path has other methods; Allow names them.",
    408: "The request's body did not arrive in time.",
    409: "Busy, or given already; try again.",
    413: "The request's body is too large.",
    429: "Too many requests or too much spent; see Retry-After and x-should-retry.",
    431: "The request's headers are too large.",
    500: "An error of the gateway or damaged data.",
    503: "A service cannot be reached, or waits for an operator.",
    504: "The answer took too long.",
}
_OF_BODY: Final = (408, 413)
_HEADERS: Final = {
    "x-request-id": "Of the caller, or made; in every log and in the ledger.",
    "openai-processing-ms": "Time until the response began.",
    "openai-version": "Of the API whose form this is.",
    "x-arenalab-trace-id": "Of the request's trace, recorded or not.",
}
_RETRYING: Final = {
    "retry-after": "Seconds after which the same request may work.",
    "retry-after-ms": "The same in milliseconds.",
    "x-should-retry": "Whether trying again can help; overrules the status.",
}
# Of an error, besides: what the SDKs go by.
_ERROR_HEADERS: Final = {
    401: {"www-authenticate": "How to show a key."},
    405: {"allow": "The methods that the path has."},
    429: _RETRYING,
    503: _RETRYING,
}
_ANSWER_HEADERS: Final = {
    "x-arenalab-route": "Who answered.",
    "x-arenalab-warning": "What was asked for and not done; may come several times.",
    "x-arenalab-confidence": "Of memory's output. Whole answers only.",
    "x-arenalab-guarantee": "Its status. Whole answers only.",
    "x-arenalab-cost": "What a provider charged, in US dollars, where it is known.",
    "x-arenalab-overhead-ms": "What ArenaLab added to the provider's time.",
    "x-arenalab-ledger-index": "Of the leaf that seals the answer.",
    "server-timing": "Where the time went.",
}


def document() -> dict[str, Any]:
    """Returns the OpenAPI document of the gateway."""
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "ArenaLab gateway",
            "version": version("arenalab"),
            "description": "An OpenAI-compatible endpoint whose answers come with evidence, a "
            "guarantee and a receipt. Unknown fields of a request are named in "
            "x-arenalab-warning; with 'x-arenalab-strict: true' they are errors. A header "
            "'x-arenalab-provider-key: PROVIDER=KEY' brings the caller's own key for a model "
            "provider, for that request alone.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Not needed on loopback in development mode.",
                }
            },
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "createChatCompletion",
                "Answer a conversation",
                request="ChatRequest",
                found={JSON: ref("ChatCompletion"), _EVENTS: ref("ChatChunk")},
                headers=_ANSWER_HEADERS,
            )
        },
        "/v1/responses": {
            "post": _operation(
                "createResponse",
                "Answer a conversation, in the form of the Responses API",
                request="ResponsesRequest",
                found={JSON: ref("Response"), _EVENTS: ref("ResponseEvent")},
                headers=_ANSWER_HEADERS,
            )
        },
        "/v1/embeddings": {
            "post": _operation(
                "createEmbedding",
                "Embed texts",
                request="EmbeddingsRequest",
                found={JSON: ref("Embeddings")},
            )
        },
        "/v1/models": {
            "get": _operation("listModels", "List the models", found={JSON: ref("Models")})
        },
        "/v1/models/{id}": {
            "get": _operation(
                "retrieveModel",
                "Show a model; its id may hold slashes",
                found={JSON: ref("Model")},
                parameters=[_in_path("id", text(1, MAX_MODEL))],
            )
        },
        "/v1/feedback": {
            "post": _operation(
                "createFeedback",
                "Say whether an answer was right; the first word on it counts",
                request="FeedbackRequest",
                found={JSON: ref("Feedback")},
            )
        },
        "/v1/receipts/{id}": {
            "get": _operation(
                "retrieveReceipt",
                "Show the receipt of an answer against the latest checkpoint",
                found={JSON: ref("ReceiptFound")},
                parameters=[_in_path("id", ID)],
            )
        },
        "/v1/ledger/checkpoint": {
            "get": _operation(
                "retrieveCheckpoint",
                "Show the ledger's latest signed checkpoint, a C2SP note",
                found={_TEXT: STRING, JSON: ref("Checkpoint")},
            )
        },
        "/v1/risk-coverage": {
            "get": _operation(
                "retrieveRiskCoverage",
                "Show what may be promised at each risk, and what it would serve",
                found={JSON: ref("RiskCoverage")},
                parameters=[
                    {"name": name, "in": "query", "schema": schema}
                    for name, schema in others.RISK_PARAMETERS.items()
                ],
            )
        },
        "/v1/subjects/{user}": {
            "delete": _operation(
                "eraseSubject",
                "Erase what a user said and was told; it cannot be undone",
                found={JSON: ref("Erased")},
                parameters=[_in_path("user", text(1, MAX_SUBJECT))],
            )
        },
        "/health": {"get": _probe("health", "Say that the process answers", {JSON: ref("Health")})},
        "/ready": {
            "get": _probe(
                "ready",
                "Say whether a question would be answered now",
                {JSON: ref("Ready")},
                missing=ref("NotReady"),
            )
        },
        "/metrics": {"get": _probe("metrics", "Metrics for Prometheus", {_TEXT: STRING})},
        "/openapi.json": {
            "get": _probe("openapi", "This document", {JSON: {"type": "object"}}),
        },
        "/docs": {"get": _probe("docs", "This document as a page", {"text/html": STRING})},
    }


def _in_path(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(
    name: str,
    summary: str,
    *,
    found: Mapping[str, Schema],
    request: str = "",
    headers: Mapping[str, str] | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    left_out = () if request else _OF_BODY
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": _response("Found.", found, _HEADERS | dict(headers or {})),
            **{
                str(status): _response(
                    meaning, {JSON: ref("Error")}, _HEADERS | _ERROR_HEADERS.get(status, {})
                )
                for status, meaning in _ERRORS.items()
                if status not in left_out
            },
        },
    }
    if request:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": ref(request)}}}
    return operation


def _probe(
    name: str, summary: str, found: Mapping[str, Schema], missing: Schema | None = None
) -> dict[str, Any]:
    probe: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": _response("Found.", found, _HEADERS)},
    }
    for status in (405, 431, 500):
        body = {JSON: ref("Error")}
        probe["responses"][str(status)] = _response(_ERRORS[status], body, _HEADERS)
    if missing is not None:
        probe["responses"]["503"] = _response("Not ready.", {JSON: missing}, _HEADERS)
    return probe


def _response(
    description: str, found: Mapping[str, Schema], headers: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in headers.items()
        },
        "content": {media_type: {"schema": schema} for media_type, schema in found.items()},
    }
