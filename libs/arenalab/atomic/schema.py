"""The published JSON Schema of JSON✯Atomic."""

import json
from importlib.resources import files
from typing import Any, cast


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a span's JSON form.

    It says all that JSON Schema can. Only this package's own reading also counts
    bytes of UTF-8 rather than characters, refuses lone surrogates and keys given
    twice, knows the calendar, and bounds the size and depth of metadata.
    """
    text = files("arenalab.atomic").joinpath("span.schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))
