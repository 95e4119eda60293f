import pytest

from arenalab.gateway.errors import ApiError, api_error
from arenalab.mesh import (
    BudgetSpentError,
    DeadlineError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status(reason: Reason) -> None:
    error = api_error(MeshError("message", reason))
    assert 400 <= error.status <= 504
    assert error.code


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidInputError("x"), 400, "invalid_request_error", "invalid_value"),
        (
            NotFoundError("x", Reason.UNKNOWN_MODEL),
            404,
            "invalid_request_error",
            "model_not_found",
        ),
        (BudgetSpentError("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (NotReadyError("x"), 503, "server_error", "overloaded"),
        (DeadlineError("x"), 504, "timeout", "timeout"),
        (PreconditionError("x"), 503, "server_error", "not_set_up"),
        (MeshError("x"), 500, "server_error", "internal_error"),
    ],
)
def test_an_error_keeps_its_meaning(error: MeshError, status: int, kind: str, code: str) -> None:
    told = api_error(error)
    assert told.status == status
    assert told.body() == {
        "error": {
            "message": "internal error" if status == 500 else "x",
            "type": kind,
            "param": "model" if code == "model_not_found" else None,
            "code": code,
        }
    }


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("policy.alpha", "arenalab.alpha"),
        ("policy.guarantee_kind", "arenalab.guarantee_kind"),
        ("context.stakes", "arenalab.context.stakes"),
        ("sampling.stop", "stop"),
        ("texts[3]", "input[3]"),
        ("text", "messages"),
        ("messages[0].content", "messages[0].content"),
    ],
)
def test_the_field_is_named_as_the_client_wrote_it(field: str, param: str) -> None:
    assert api_error(InvalidInputError("x", field=field)).param == param


def test_nothing_of_the_inside_is_told() -> None:
    lost = NotReadyError("ensemble: failed to connect to 10.0.0.7:50054", service="ensemble")
    assert "10.0.0.7" not in str(api_error(lost))
    key = PreconditionError("no key in secret/keys", Reason.MISSING_KEY)
    assert "secret" not in str(api_error(key))


def test_waiting_is_told_in_whole_seconds_and_in_milliseconds() -> None:
    headers = dict(ApiError(429, "c", "m", retry_after_s=0.2).headers)
    assert headers == {"retry-after": "1", "retry-after-ms": "200"}
    assert dict(ApiError(429, "c", "m", retry_after_s=1.1).headers)["retry-after"] == "2"
