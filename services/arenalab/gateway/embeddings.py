"""POST /v1/embeddings: the vectors of search's embedder."""

import asyncio
import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.gateway.account import Hold, KeyAccount
from arenalab.gateway.body import parse_object
from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.fields import Fields, missing, wrong_type
from arenalab.gateway.notices import take_unknown, warn_of_ignored
from arenalab.mesh import MeshError
from arenalab.tokens import Tokens

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc

MODEL: Final = "arenalab"
MAX_INPUTS: Final = 2048
MAX_TEXT_BYTES: Final = 32_768
MAX_TOKEN_IDS: Final = 32_768  # one input; each token is at least one byte
MAX_MODEL: Final = 256
KNOWN: Final = frozenset({"dimensions", "encoding_format", "input", "model", "user"})
_FLOAT_BYTES: Final = 4

TokenIds = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """One checked request to /v1/embeddings."""

    model: str
    inputs: tuple[str | TokenIds, ...]
    dimensions: int | None
    is_base64: bool


def parse_embeddings(body: Mapping[str, Any]) -> EmbeddingsRequest:
    """Reads the body of an embeddings request.

    Raises:
        ApiError: 400; `param` names the field.
    """
    fields = Fields(body)
    fields.string("user")
    return EmbeddingsRequest(
        model=fields.string("model", max_chars=MAX_MODEL) or MODEL,
        inputs=_parse_input(body.get("input")),
        dimensions=fields.integer("dimensions", 1, 2**31 - 1),
        is_base64=fields.choice("encoding_format", ("float", "base64")) == "base64",
    )


def _parse_input(value: Any) -> tuple[str | TokenIds, ...]:
    if value is None:
        raise missing("input")
    items = value
    if isinstance(value, str) or (isinstance(value, list) and value and _is_id(value[0])):
        items = [value]  # one text, or one text as token ids
    if not isinstance(items, list):
        raise wrong_type("input", value, str)
    if not 1 <= len(items) <= MAX_INPUTS:
        raise bad_request(
            f"input must hold 1 to {MAX_INPUTS} texts, got {len(items)}", param="input"
        )
    return tuple(
        _check_one("input" if items is not value else f"input[{n}]", item)
        for n, item in enumerate(items)
    )


def _is_id(value: Any) -> bool:
    return type(value) is int


def _check_one(place: str, item: Any) -> str | TokenIds:
    if isinstance(item, str):
        _check_text(place, item)
        return item
    if not isinstance(item, list) or not all(map(_is_id, item)):
        raise wrong_type(place, item, str)
    if not 1 <= len(item) <= MAX_TOKEN_IDS:
        raise bad_request(
            f"{place} must have 1 to {MAX_TOKEN_IDS} tokens, got {len(item)}", param=place
        )
    return item


def _check_text(place: str, text: str) -> None:
    if not text.strip():
        raise bad_request(f"{place} must not be blank", param=place)
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise bad_request(
            f"{place} must have at most {MAX_TEXT_BYTES} bytes of UTF-8",
            param=place,
            code="context_length_exceeded",
        )


class EmbeddingsEndpoint:
    """Hands texts to search, and its vectors back."""

    def __init__(
        self,
        search: "pb_grpc.SearchServiceAsyncStub",
        tokens: Tokens,
        *,
        max_body_bytes: int,
        body_timeout_s: float,
        embed_timeout_s: float,
    ) -> None:
        self._search = search
        self._tokens = tokens
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._embed_timeout_s = embed_timeout_s

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.read_json_bytes(self._max_body_bytes, self._body_timeout_s)
        parsed = parse_object(body)
        take_unknown(exchange, Fields(parsed).unknown(KNOWN))
        warn_of_ignored(exchange)
        request = parse_embeddings(parsed)
        account = exchange.account
        account.check_model(request.model)
        async with exchange.while_connected():
            texts = await self._texts(request.inputs)
            tokens = await asyncio.to_thread(self._most_tokens, texts, account)
            async with account.hold(tokens, may_cost=False) as hold:
                hold.used(tokens=tokens, usd_micros=0)  # unless it fails, see below
                response = await self._embed(texts, hold)
            _check_fit(request, response)
            answer = await asyncio.to_thread(_answer, request, response)
        await exchange.respond_json(200, answer)

    async def _embed(self, texts: Sequence[str], hold: Hold) -> pb.EmbedResponse:
        try:
            response = await self._search.Embed(
                pb.EmbedRequest(texts=texts), timeout=self._embed_timeout_s
            )
        except MeshError:
            hold.used(tokens=0, usd_micros=0)
            raise
        hold.used(tokens=sum(response.token_counts), usd_micros=0)
        return response

    def _most_tokens(self, texts: Sequence[str], account: KeyAccount) -> int:
        return sum(map(self._tokens.count, texts)) if account.counts_tokens else 0

    async def _texts(self, inputs: Sequence[str | TokenIds]) -> list[str]:
        if all(isinstance(item, str) for item in inputs):
            return [item for item in inputs if isinstance(item, str)]
        return await asyncio.to_thread(self._decode, inputs)

    def _decode(self, inputs: Sequence[str | TokenIds]) -> list[str]:
        texts = []
        for n, item in enumerate(inputs):
            if isinstance(item, str):
                texts.append(item)
                continue
            try:
                text = self._tokens.decode(item)
            except KeyError as error:
                raise bad_request(
                    f"input[{n}] holds {error.args[0]}, which is no token of cl100k_base; send "
                    "the text itself (LangChain: check_embedding_ctx_length=False)",
                    param=f"input[{n}]",
                ) from error
            _check_text(f"input[{n}]", text)
            texts.append(text)
        return texts


def _check_fit(request: EmbeddingsRequest, response: pb.EmbedResponse) -> None:
    if request.model not in (MODEL, response.embedder_id):
        raise ApiError(
            404,
            "model_not_found",
            f"the model {request.model!r} does not embed here; use {MODEL!r} or "
            f"{response.embedder_id!r}",
            param="model",
        )
    if request.dimensions not in (None, response.dimension):
        raise bad_request(
            f"dimensions must be {response.dimension}, the embedder's own, "
            f"got {request.dimensions}",
            param="dimensions",
        )


def _answer(request: EmbeddingsRequest, response: pb.EmbedResponse) -> dict[str, Any]:
    size = response.dimension * _FLOAT_BYTES
    rows = [response.vectors[n : n + size] for n in range(0, len(response.vectors), size)]
    tokens = sum(response.token_counts)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row).decode()
                if request.is_base64
                else list(struct.unpack(f"<{response.dimension}f", row)),
            }
            for index, row in enumerate(rows)
        ],
        "model": response.embedder_id,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
