"""Logs as JSON lines that carry the trace id, or as plain lines for a terminal."""

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

from google.protobuf.message import Message
from opentelemetry import trace


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, logger, message, trace and span id."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": _message_of(record),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _message_of(record: logging.LogRecord) -> str:
    # In Python, protobuf prints a message whole, also what its contract marks as secret:
    # so no message is printed.
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.DESCRIPTOR.full_name if isinstance(arg, Message) else arg for arg in record.args
        )
    return record.getMessage()


def configure_logs(service: str, stream: TextIO, level: str = "INFO") -> None:
    """Sends every log record of the process to `stream` as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx logs one INFO line per request: the trace says the same.
    logging.getLogger("httpx").setLevel(logging.WARNING)
