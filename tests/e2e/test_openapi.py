"""Requests made up from the gateway's own OpenAPI document, sent to the whole mesh.

Whatever is asked, no answer is a server error, and each is one that the document names:
its status, its media type, its body. What the document forbids is refused.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from arenalab.gateway.openapi.document import document

pytestmark = pytest.mark.slow

# `make fuzz-gateway` sets more, and has every boundary of every field tried as well.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "0")) or 10
IS_LONG = "OPENAPI_EXAMPLES" in os.environ
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
CONFIG = schemathesis.Config.from_dict(
    {
        "phases": {"coverage": {"enabled": IS_LONG}},
        # A body may be too large before it is anything else.
        "checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 405, 408, 413]}},
    }
)
described = schemathesis.openapi.from_dict(document(), config=CONFIG)


@described.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not IS_LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_names(
    case: "schemathesis.Case[Any]", mesh: Any
) -> None:
    case.call_and_validate(base_url=mesh.url, checks=CHECKS, timeout=20)
