"""What a client is told when a request fails: HTTP status, OpenAI error body, headers.

Every error of the mesh becomes one of these through one table, by its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from arenalab.mesh import MeshError, Reason

Headers = Sequence[tuple[str, str]]

_INVALID: Final = "invalid_request_error"
_TYPES: Final = {
    400: _INVALID,
    401: "authentication_error",
    403: "permission_error",
    404: _INVALID,
    405: _INVALID,
    408: "timeout",
    409: "conflict",
    413: _INVALID,
    429: "rate_limit_error",
    431: _INVALID,
    504: "timeout",
}


class ApiError(Exception):
    """A request that ends with an error status and the OpenAI error body.

    Args:
        status: HTTP status.
        code: Machine-readable code of the body.
        message: The rule and the value, for people; no secrets.
        param: The field of the request that is wrong, e.g. "messages[0].role".
        retry_after_s: When the same request may work.
        should_retry: Overrules the SDK's own decision to retry; None leaves it.
        headers: Further headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = list(headers)
        if retry_after_s is not None:
            self.headers += [
                # Rounded up, so that who waits that long does not come too early.
                ("retry-after", str(max(1, -int(-retry_after_s // 1)))),
                ("retry-after-ms", str(max(1, round(retry_after_s * 1000)))),
            ]
        if should_retry is not None:
            self.headers.append(("x-should-retry", str(should_retry).lower()))

    def body(self) -> dict[str, object]:
        """Returns the OpenAI error body."""
        return {
            "error": {
                "message": str(self),
                "type": _TYPES.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }


def bad_request(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """Returns the error for a request that its sender must change."""
    return ApiError(400, code, message, param=param)


@dataclass(frozen=True, slots=True)
class _Row:
    """How one reason is told to a client."""

    status: int
    code: str
    retry_after_s: float | None = None
    should_retry: bool | None = None
    message: str = ""  # replaces the error's own, which would show the inside


_INTERNAL: Final = _Row(500, "internal_error")
_NO_PROVIDER_KEY: Final = _Row(400, "missing_provider_key", should_retry=False)
_DAMAGED: Final = _Row(500, "data_loss", should_retry=False, message="stored data is damaged")

_BY_REASON: Final[dict[Reason, _Row]] = {
    Reason.INVALID_ARGUMENT: _Row(400, "invalid_value"),
    Reason.INVALID_SPAN: _Row(400, "invalid_value"),
    Reason.EMPTY_TEXT: _Row(400, "invalid_value"),
    Reason.INVALID_VECTOR: _Row(400, "invalid_value"),
    Reason.INVALID_FORMAT: _Row(400, "invalid_value"),
    # The code that clients know for a prompt that is too long.
    Reason.TOO_LARGE: _Row(400, "context_length_exceeded"),
    Reason.UNSUPPORTED_REQUEST: _Row(400, "unsupported_value"),
    # The model names a provider that is not set up here: another model may do, the
    # same request will not, so it is the request's error.
    Reason.NO_PROVIDER: _Row(400, "provider_not_configured"),
    Reason.UNKNOWN_MODEL: _Row(404, "model_not_found"),
    Reason.UNKNOWN_DATASET: _Row(404, "dataset_not_found"),
    Reason.UNKNOWN_SPAN: _Row(404, "span_not_found"),
    Reason.UNKNOWN_PREDICTION: _Row(404, "prediction_not_found"),
    Reason.UNKNOWN_LEAF: _Row(404, "leaf_not_found"),
    Reason.UNKNOWN_LOG: _Row(404, "log_not_found"),
    Reason.BUSY: _Row(409, "busy"),
    # The code that clients know for money that is spent: waiting a second does not help.
    Reason.SPEND_CAP: _Row(429, "insufficient_quota", should_retry=False),
    Reason.OVERLOADED: _Row(429, "rate_limit_exceeded", retry_after_s=1),
    # These wait for an operator: retrying in seconds cannot help.
    Reason.NO_DATASET: _Row(503, "no_dataset", should_retry=False),
    Reason.NOT_CALIBRATED: _Row(503, "not_calibrated", should_retry=False),
    Reason.CONTRAST_RISK: _Row(503, "contrast_risk", should_retry=False),
    Reason.EMBEDDER_MISMATCH: _Row(503, "embedder_mismatch", should_retry=False),
    Reason.STORAGE_FULL: _Row(503, "storage_full", should_retry=False),
    Reason.MISSING_KEY: _Row(
        503, "missing_key", should_retry=False, message="a signing or provider key is missing"
    ),
    Reason.CORRUPT_DATASET: _DAMAGED,
    Reason.CORRUPT_LEDGER: _DAMAGED,
    Reason.NOT_READY: _Row(503, "overloaded", retry_after_s=1),
    Reason.LEDGER_UNAVAILABLE: _Row(503, "ledger_unavailable", retry_after_s=1),
    Reason.PROVIDER_FAILED: _Row(503, "provider_failed", retry_after_s=2),
    Reason.DEADLINE: _Row(504, "timeout"),
}
# For the statuses that gRPC itself makes, which carry no reason.
_BY_STATUS: Final[dict[grpc.StatusCode, _Row]] = {
    grpc.StatusCode.INVALID_ARGUMENT: _BY_REASON[Reason.INVALID_ARGUMENT],
    grpc.StatusCode.NOT_FOUND: _Row(404, "not_found"),
    grpc.StatusCode.FAILED_PRECONDITION: _Row(503, "not_set_up", should_retry=False),
    grpc.StatusCode.DATA_LOSS: _DAMAGED,
}
# What the protos call a field, and what the client called it.
_PARAM_PREFIXES: Final = (
    ("policy.", "arenalab."),
    ("context.", "arenalab.context."),
    ("sampling.", ""),
    ("texts", "input"),
    ("text", "messages"),
)


def api_error(error: MeshError) -> ApiError:
    """Returns what a client is told of an error of the mesh."""
    row = _BY_STATUS.get(error.code, _INTERNAL)
    if error.reason is not None:
        row = _BY_REASON[error.reason]
    if error.reason is Reason.MISSING_KEY and "provider" in error.metadata:
        # The caller may bring the key that the operator did not set.
        row = _NO_PROVIDER_KEY
    message = row.message or str(error)
    if error.reason is Reason.NOT_READY and "service" in error.metadata:
        # The transport's own words name addresses.
        message = f"the {error.metadata['service']} service cannot be reached; try again soon"
    elif row is _INTERNAL:
        message = "internal error"
    return ApiError(
        row.status,
        row.code,
        message,
        param=_param(error),
        retry_after_s=row.retry_after_s,
        should_retry=row.should_retry,
    )


def _param(error: MeshError) -> str | None:
    if error.reason is Reason.UNKNOWN_MODEL:
        return "model"
    field = error.metadata.get("field")
    if field is not None and field.startswith("credentials"):
        return "x-arenalab-provider-key"
    if field is not None:
        for proto, wire in _PARAM_PREFIXES:
            if field.startswith(proto):
                return wire + field.removeprefix(proto)
    return field
