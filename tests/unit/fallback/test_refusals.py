import json

import pytest

from arenalab.fallback.refusals import ProviderError, Refusing
from arenalab.fallback.wire.openai import OpenAiAdapter
from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, NotReadyError, Reason

REFUSING = Refusing("p", "m", OpenAiAdapter("http://p/v1"))


def refused(
    status: int, message: str = "why", headers: dict[str, str] | None = None
) -> ProviderError | MeshError:
    body = json.dumps({"error": {"message": message}}).encode()
    return REFUSING.refusal(status, headers or {}, body)


def of_provider(status: int, headers: dict[str, str] | None = None) -> ProviderError:
    error = refused(status, headers=headers)
    assert isinstance(error, ProviderError)
    return error


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_is_the_callers_to_change(status: int) -> None:
    error = refused(status, "tools are not supported")
    assert isinstance(error, InvalidInputError)
    assert str(error) == "p refused the request: tools are not supported"
    assert error.metadata == {"provider": "p", "status": str(status)}


def test_a_long_message_is_cut() -> None:
    assert len(str(refused(400, "x" * 100_000))) < 600


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_the_providers_trouble_and_is_not_repeated(status: int) -> None:
    error = refused(status, "Incorrect API key provided: sk-secret")
    assert isinstance(error, ProviderError)
    assert "sk-secret" not in str(error)
    assert error.retry_after_s is None


def test_an_unknown_model_is_named() -> None:
    error = refused(404)
    assert isinstance(error, NotFoundError)
    assert error.reason is Reason.UNKNOWN_MODEL
    assert error.metadata == {"model": "m"}


@pytest.mark.parametrize("status", [408, 500, 502, 503, 529])
def test_a_failing_provider_may_be_asked_again(status: int) -> None:
    assert of_provider(status).retry_after_s == 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("2", 2.0),
        ("3", None),
        ("-1", None),
        ("nan", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_wait_that_the_provider_asks_for_is_kept_or_too_long(
    status: int, header: str, wait_s: float | None
) -> None:
    assert of_provider(status, {"retry-after": header}).retry_after_s == wait_s


def test_a_rate_limit_without_a_wait_is_not_asked_again() -> None:
    assert of_provider(429).retry_after_s is None


@pytest.mark.parametrize("status", [204, 301, 307])
def test_neither_redirects_nor_silence_are_followed(status: int) -> None:
    assert of_provider(status).retry_after_s is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "why"}},
        [{"error": {"message": "why"}}],
        {"error": "why"},
        {"object": "error", "message": "why", "code": 400},
        {"detail": "why"},
        {"error": {"code": 1}, "message": "why"},
    ],
)
def test_a_message_is_found_where_servers_put_it(body: object) -> None:
    error = REFUSING.refusal(400, {}, json.dumps(body).encode())
    assert str(error) == "p refused the request: why"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff", b'{"error": 7}', b"[]"])
def test_a_body_without_a_message_is_no_trouble(body: bytes) -> None:
    error = REFUSING.refusal(400, {}, body)
    assert str(error) == "p refused the request: status 400"


def test_the_caller_sees_who_failed_and_how() -> None:
    error = of_provider(502).as_mesh_error()
    assert isinstance(error, NotReadyError)
    assert error.reason is Reason.PROVIDER_FAILED
    assert error.metadata == {"provider": "p", "status": "502"}
