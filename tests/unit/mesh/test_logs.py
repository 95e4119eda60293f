import json
import logging

from arenalab.api.common.v1.credential_pb2 import ProviderCredential
from arenalab.mesh.logs import JsonFormatter


def line(message: str, *args: object) -> str:
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, message, args, None)
    found = json.loads(JsonFormatter("s").format(record))["message"]
    assert isinstance(found, str)
    return found


def test_a_message_of_the_wire_is_named_and_not_shown() -> None:
    message = ProviderCredential(provider="openai", api_key="sk-1")
    assert line("got %s after %d ms", message, 3) == (
        "got arenalab.api.common.v1.ProviderCredential after 3 ms"
    )
    assert line("%(a)s", {"a": 1}) == "1"
    assert line("100%") == "100%"
