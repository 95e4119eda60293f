"""The provider APIs: what each sent in each situation, and how it says that something failed.

The recordings are in the providers' documented formats and were checked against the types
of their own Python libraries: openai 3.57.0, anthropic 2.14.0 and google-genai 3.6.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from arenalab.fallback.config import Api
from tests.mesh.scripted_provider import Exchange, Play, Provider

RECORDINGS: Final = Path(__file__).parent / "recordings"
MODEL: Final = "the-model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderApi:
    """One of them."""

    api: Api
    path: str  # of a request, below the base URL
    key_header: str
    key_prefix: str
    error: Callable[[int, str], Any]  # the body of an error status
    model: str  # as the recordings name it
    refusal_reason: str  # how an answer ends that is all refusal

    @property
    def name(self) -> str:
        return self.api.value

    def recording(self, name: str) -> bytes:
        return (RECORDINGS / self.name / name).read_bytes()

    def provider(self, *plays: Play, **settings: Any) -> Provider:
        told = {"name": self.name, "api": self.api, "default_model": MODEL}
        return Provider(plays, told | settings)

    def model_of(self, exchange: Exchange) -> str:
        """Returns the model that was asked for, and checks the path."""
        model = exchange.body.get("model") or exchange.path.split("/")[-1].split(":")[0]
        assert exchange.path == "/v1" + self.path.format(model=model)
        return str(model)

    def streamed(self, name: str) -> Play:
        """Plays a recorded stream, cut at places where a network would not care to."""

        async def play(exchange: Exchange) -> None:
            data = self.recording(f"{name}.sse")
            await exchange.stream(*(data[n : n + 97] for n in range(0, len(data), 97)))

        return play

    def failing(self, status: int, message: str, *headers: str) -> Play:
        async def play(exchange: Exchange) -> None:
            await exchange.answer(status, self.error(status, message), *headers)

        return play

    def key_of(self, exchange: Exchange) -> str:
        return exchange.headers.get(self.key_header, "").removeprefix(self.key_prefix)


def _openai(status: int, message: str) -> Any:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


_ANTHROPIC: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GEMINI: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _anthropic(status: int, message: str) -> Any:
    error = {"type": _ANTHROPIC.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


def _gemini(status: int, message: str) -> Any:
    told = {"code": status, "message": message, "status": _GEMINI.get(status, "UNKNOWN")}
    return {"error": told}


APIS: Final = (
    ProviderApi(
        api=Api.OPENAI,
        path="/chat/completions",
        key_header="authorization",
        key_prefix="bearer ",
        error=_openai,
        model="gpt-4o-mini-2024-07-18",
        refusal_reason="stop",
    ),
    ProviderApi(
        api=Api.ANTHROPIC,
        path="/messages",
        key_header="x-api-key",
        key_prefix="",
        error=_anthropic,
        model="claude-haiku-5-5",
        refusal_reason="content_filter",
    ),
    ProviderApi(
        api=Api.GEMINI,
        path="/models/{model}:streamGenerateContent?alt=sse",
        key_header="x-goog-api-key",
        key_prefix="",
        error=_gemini,
        model="gemini-3.8-flash",
        refusal_reason="content_filter",
    ),
)
OPENAI, ANTHROPIC, GEMINI = APIS
