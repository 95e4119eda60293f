"""The JSON of a request body, read strictly."""

import json
import math
from typing import Any, Final

from arenalab.gateway.errors import ApiError, bad_request

# What a protobuf Struct inside a request may nest, at three levels of protobuf's
# hundred per JSON object.
MAX_DEPTH: Final = 30


def parse_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a request body. Of duplicate keys the last counts.

    Raises:
        ApiError: 400; the body is not the UTF-8 text of one JSON object.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"is not UTF-8: byte {error.start} is wrong") from error
    if not text.strip():
        raise _refused("is empty: a JSON object is needed")
    value = _loads(text)
    if not isinstance(value, dict):
        raise _refused("must be a JSON object")
    # An escape can spell half a surrogate pair, which no UTF-8 text can hold.
    if "\\u" in text and not _is_text(value):
        raise _refused("holds a lone surrogate escape, which is not a character")
    return value


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _refused(
            f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from error
    except RecursionError as error:
        raise _refused("is nested too deeply") from error
    except ValueError as error:  # digits beyond what Python converts
        raise _refused("holds a number that is too long") from error


def _refused(why: str) -> ApiError:
    return bad_request(f"the request body {why}", code="invalid_json")


def _refuse_constant(name: str) -> object:
    raise _refused(f"holds {name}, which is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _refused(f"holds the number {text[:40]}, which is too large")
    return value


def _is_text(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except RecursionError as error:
        raise _refused("is nested too deeply") from error
    return True


def depth_of(value: object) -> int:
    """Returns how deeply objects and arrays are nested; 0 for a plain value."""
    depth = 0
    level = [value]
    while containers := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            child
            for item in containers
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
